/* Rules fence, find, condemn, decide and sweep. */

/* A keeper that ends sessions, whenever it likes and however belatedly. */
proctype Fencer() {
  byte who, verdict;
end:
  do
  :: atomic {
       if
       :: (UNFENCED & R1) -> who = R1
       :: (UNFENCED & R2) -> who = R2
       :: (UNFENCED & READER) -> who = READER
       fi
     }
#ifdef WITHOUT_FENCE_FIRST
     verdict = points & who;
     fence = fence | who;
#else
     fence = fence | who;
     verdict = points & who;
#endif
     atomic {
       if
       :: ((named | voided) & who)
#ifdef WITHOUT_VERDICT_CREATE_ONLY
          -> named = (named & ~who) | verdict; voided = (voided & ~who) | (who & ~verdict)
#endif
       :: else -> named = named | verdict; voided = voided | (who & ~verdict)
       fi;
       verdict = 0; check()
     }
     atomic {
       sess = sess & ~who;
#ifdef WITHOUT_FENCE_KEPT
       fence = fence & ~who; named = named & ~who; voided = voided & ~who; check();
#endif
       who = 0
     }
  od
}

inline condemn() {
#ifdef WITHOUT_UNIQUE_EPOCHS
  atomic { !EPOCH(1) -> epoch = (EPOCH(0) -> 1 : 0); condemned[epoch] = list }
#else
  atomic { (epochs < EPOCHS) -> epoch = epochs; epochs++; condemned[epoch] = list }
#endif
}

/* Packs, sessions, points, in this order; or, to show that safety does not rest on it, any packs that are there. */
inline find() {
#if !defined(FIND)
  atomic {
    if
    :: (packs & P0) -> list = P0
    :: (packs & P1) -> list = P1
    :: (packs == (P0 | P1)) -> list = packs
    fi
  }
#elif defined(WITHOUT_FIND_ORDER)
  list = ~PACKS_OF(LIVE);
  list = list & packs;
  list = list & ~(sess & R1 -> P1 : 0);
#else
  list = packs;
#ifndef WITHOUT_NONCE
  list = list & ~(sess & R1 -> P1 : 0);
#endif
  list = list & ~PACKS_OF(LIVE);
#endif
#ifdef FIND
  /* Nobody loses a backup for nothing: neither a session at work nor the point that made a pack is ever suspected. */
  atomic { assert(!(list & P1) || !((sess & ~fence & R1) | (COUNTING & R1))) }
  if :: list :: else -> goto end fi
#endif
}

/* A keeper that collects: a new epoch, or one that it finds. */
proctype Keeper() {
  byte epoch, list, holders, used, taken;
#if READERS
  byte counting;
#endif
end:
  do
  :: if
     :: (epochs < EPOCHS && packs) ->
#ifdef WITHOUT_CONDEMN_FIRST
        holders = sess;
#endif
        find(); condemn()
     :: atomic { condemned[0] -> epoch = 0; list = condemned[0] }
     :: atomic { condemned[1] -> epoch = 1; list = condemned[1] }
     fi;
#ifndef WITHOUT_CONDEMN_FIRST
     holders = sess;
#endif
#if defined(WITHOUT_WAIT_FOR_VERDICT)
     !(holders & sess & ~fence);
#elif !defined(WITHOUT_WAIT)
     !(holders & sess & ~(named | voided));
#endif
decide:
     atomic {
       holders = 0;
#ifndef WITHOUT_DECIDE
       used = PACKS_OF(LIVE);
#endif
#if READERS
       counting = COUNTING
#endif
     }
#if READERS && !defined(WITHOUT_READER_CHECK)
     /* a point that is being read, and was purged since */
     if
     :: (sess & READER) && (reading & ~counting) && !EPOCH_DECIDED(epoch) -> goto decide
     :: else
     fi;
#endif
     atomic {
       if
#ifndef WITHOUT_OUTCOME_CREATE_ONLY
       :: EPOCH_DECIDED(epoch) -> list = gone[epoch]; taken = kept[epoch]
#endif
       :: else -> taken = list & used; list = list & ~used; gone[epoch] = list; kept[epoch] = taken
       fi;
       used = 0;
#if READERS
       counting = 0
#endif
     }
     /* sweep */
#ifdef WITHOUT_SWEEP_ORDER
     condemned[epoch] = 0;
#endif
     atomic { packs = packs & ~list; list = 0; check() }
     condemned[epoch] = 0;
     atomic {
       if
#ifndef WITHOUT_OUTCOME_KEPT
       :: taken
#endif
       :: else -> gone[epoch] = 0; kept[epoch] = 0
       fi;
       taken = 0; epoch = 0
     }
  od
}
