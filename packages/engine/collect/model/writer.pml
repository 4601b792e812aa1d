/* Rules begin, commit and settle: writers and readers, and what becomes of their requests. */

inline announce() { atomic { sess = sess | me; began = began | me } }
inline readCollections() { seen = CONDEMNED }
/* By the parent or by the index; any of what can be found. */
inline lookup() {
  atomic {
    if
    :: use = 0
#ifdef WITHOUT_PRESENCE
    :: use = P0
    :: (own == 0) -> use = P1
#else
    :: (packs & P0) -> use = P0
    :: (own == 0) && (packs & P1) -> use = P1
#endif
    fi
  }
}

proctype Writer(byte me; byte own) {
  byte use, seen;
  /* begin */
#if defined(WITHOUT_SESSION_FIRST)
  lookup(); announce(); readCollections();
#elif defined(WITHOUT_GC_FIRST)
  announce(); lookup(); readCollections();
#else
  announce(); readCollections(); lookup();
#endif
  atomic {
#ifndef WITHOUT_BEGIN_CHECK
    use = use & ~seen;
#endif
    seen = 0; packs = packs | own; use = use | own
  }
  /* commit */
  atomic {
    if
#ifndef WITHOUT_FENCE_CHECK
    :: (fence & me) -> goto ended
#endif
#ifndef WITHOUT_CONDEMNED_CHECK
    :: (use & CONDEMNED) -> goto ended
#endif
    :: else
    fi
  }
  atomic {
    on0 = on0 | ((use & P0) -> me : 0); on1 = on1 | ((use & P1) -> me : 0); use = 0;
    underway = underway | me; again = again | me
  }
  /* settle */
  if
  :: (landed & me)
#ifdef WITHOUT_SESSION_STAYS
  :: goto ended /* no answer to the put */
#endif
  fi;
#ifndef WITHOUT_SETTLE
  atomic {
    if
    :: (fence & me)
    :: !(fence & me) -> told = told | me; check(); goto ended
    fi
  }
  atomic {
    if
    :: !((named | voided) & me) -> named = named | me
    :: else
    fi;
    if
    :: (named & me) -> told = told | me
    :: else -> failed = failed | me
    fi;
    check()
  }
#else
  atomic { told = told | me; check() }
#endif
ended: sess = sess & ~me
}

/* What the storage does with requests that were sent: late, twice, or never. */
proctype Network(byte point) {
#ifdef PACK_LANDS_AGAIN
  bool packAgain;
#endif
end:
  do
  :: atomic { (underway & point) -> underway = underway & ~point; landed = landed | point; points = points | point; check() }
  :: atomic { (again & ~underway & point) -> again = again & ~point; points = points | point; check() }
  :: atomic { (again & ~underway & point) -> again = again & ~point }
#ifdef PACK_LANDS_AGAIN
  :: atomic { !packAgain -> packAgain = true; packs = packs | P1 }
#endif
  od
}

proctype Reader() {
  byte me = READER;
  atomic {
    if
    :: (points & R0) -> reading = R0
    :: (points & R1) -> reading = R1
    :: (points & R2) -> reading = R2
    fi
  }
  announce();
  atomic {
#ifdef WITHOUT_READER_LOOK
    held = PACKS_OF(reading);
#else
    held = ((COUNTING & reading) -> PACKS_OF(reading) : 0); /* whether it still counts */
#endif
    check()
  }
  atomic { held = 0; reading = 0; sess = sess & ~me }
}
