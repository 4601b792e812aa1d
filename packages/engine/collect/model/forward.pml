/*
 * Rule forward of ADR 0007: compaction moves slots while packs are condemned, points made and purged. What care.pml shows
 * of epochs, trash and late manifests is not repeated. Sets of packs, of sessions and of a pack's two slots are bit masks.
 *
 * The old point uses slot 1 of pack A. Compactor 1 moves slots of A to B, compactor 2 slots of A or of B to C. Find is
 * wrong in every way: it condemns any pack, for good or as moved.
 *
 * With HEAL slot 1 of A has rotted, and instead of compactor 1 a healer forwards it to B, where a later backup has stored
 * the same content: nobody may find it lost again who was told that it is healed, or who built on that.
 *
 * Who takes part: COMPACTORS (1-2), KEEPERS (1-2, each with its own epochs, EPOCHS together), FENCERS (bits: of which
 * compactor).
 */
#define A 1
#define B 2
#define C 4
#define COMPACTOR1 1
#define COMPACTOR2 2
#define WRITER 4
#define SLOTS 3

/* The storage. */
#ifdef HEAL
byte packs = A | B;
#else
byte packs = A;
#endif
byte sess, fence, named, voided;            /* as in care.pml; sessions of compactors can be fenced here */
byte plain[2], moved[2];                    /* condemned by each of two epochs: for good, or as moved */
byte underway, landed;                      /* forwardings, by their compactor's session */
byte slots1, slots2, from2;                 /* what they say: slots, and the pack of the second */
byte dropped;                               /* forwardings that were deleted */
byte latest;                                /* whose forwarding has the highest number */
byte before;                                /* compactors that know of the other's forwarding of their source */
byte refused;                               /* compactors whose put found its number taken */
bool old = true, new;                       /* the points that count */
bool healed;                                /* somebody was told so */
byte epochs;                                /* so far */
byte newPack, newSlot;                      /* what the new point uses */

#define CONDEMNED (plain[0] | plain[1] | moved[0] | moved[1])
#ifdef WITHOUT_FORWARD_COMMIT
#define COUNTING (landed & ~dropped)
#else
#define COUNTING (landed & ~dropped & ~voided)
#endif
/* Of these, those that cannot become void any more. */
#ifdef WITHOUT_SETTLED
#define SETTLED COUNTING
#else
#define SETTLED (COUNTING & ~(fence & ~(named | voided)))
#endif
#ifdef WITHOUT_TARGET_CHECK
#define UNSUSPECTED (packs | THROUGH_B)
#else
#define UNSUSPECTED ((packs & ~seen) | UNLESS_CUT(plainly))
#endif
#define MOVES1 ((COUNTING & COMPACTOR1) -> slots1 : 0)
#define MOVES2(pack) (((COUNTING & COMPACTOR2) && from2 == pack) -> slots2 : 0)
/* Slots of A that lead to B, of A to C, of B to C, by forwardings of these. */
#define OF(forwardings, compactor, slots) (((forwardings) & compactor) -> (slots) : 0)
#define A_B(forwardings) OF(forwardings, COMPACTOR1, MOVES1 & ~((latest == COMPACTOR2) -> MOVES2(A) : 0))
#define A_C(forwardings) OF(forwardings, COMPACTOR2, MOVES2(A) & ~((latest == COMPACTOR1) -> MOVES1 : 0))
#define B_C(forwardings) OF(forwardings, COMPACTOR2, MOVES2(B))

/* Slots that points name, and that forwardings of these lead to. */
#define NAMED_IN(pack) (((old && pack == A) -> 1 : 0) | ((new && newPack == pack) -> newSlot : 0))
#define USED_A NAMED_IN(A)
#ifdef WITHOUT_FOLLOW
#define USED_B NAMED_IN(B)
#define USED_C NAMED_IN(C)
#else
#define USED_B (NAMED_IN(B) | (USED_A & A_B(COUNTING)))
#define USED_C (NAMED_IN(C) | (USED_A & A_C(COUNTING)) | (USED_B & B_C(COUNTING)))
#endif
#define USED(pack) ((pack == A) -> USED_A : ((pack == B) -> USED_B : USED_C))
/* Slots that can be read of one of these packs, or of those behind it. THROUGH_B: B_C will not be deleted. */
#define THROUGH_B 8
#ifdef WITHOUT_WHOLE_CHAIN
#define UNLESS_CUT(condemnedForGood) THROUGH_B
#else
#define UNLESS_CUT(condemnedForGood) (((condemnedForGood) & B) -> 0 : THROUGH_B)
#endif
#define IN(pack, among) (((among) & pack) -> SLOTS : 0)
#define BEHIND_B(among, forwardings) (((among) & THROUGH_B) -> (B_C(forwardings) & IN(C, among)) : 0)
#define BEHIND_A(among, forwardings) ((A_B(forwardings) & (IN(B, among) | BEHIND_B(among, forwardings))) | (A_C(forwardings) & IN(C, among)))
#define BEHIND(pack, among, forwardings) ((pack == A) -> BEHIND_A(among, forwardings) : ((pack == B) -> BEHIND_B(among, forwardings) : 0))

#ifdef HEAL
#define ROTTEN(pack) ((pack == A) -> 1 : 0)
#define PROMISED_A (((old && healed) -> 1 : 0) | ((new && newPack == A) -> newSlot : 0))
#else
#define ROTTEN(pack) 0
#define PROMISED_A NAMED_IN(A)
#endif

/* Every slot that a point names can be read, at its place or where forwarding leads. */
inline check() {
  assert(!(PROMISED_A & ~((IN(A, packs) & ~ROTTEN(A)) | BEHIND_A(packs | THROUGH_B, COUNTING))));
  assert(!(NAMED_IN(B) & ~(IN(B, packs) | BEHIND_B(packs | THROUGH_B, COUNTING))));
  assert(!(NAMED_IN(C) & ~IN(C, packs)))
}

/* Whether somebody else's forwarding of the pack has landed. */
#define OTHERS(me, source) ((me == COMPACTOR1) -> ((landed & COMPACTOR2) && from2 == A) : ((landed & COMPACTOR1) && source == A))
/* Slots of the pack that are forwarded, if perhaps not for good: a slot is forwarded once. */
#ifdef WITHOUT_NUMBER_ONCE
#define TAKEN(source) 0
#else
#define TAKEN(source) ((source == A) -> A_B(COUNTING) | A_C(COUNTING) : B_C(COUNTING))
#endif

/* That is there, or that forwardings lead from. */
inline anyPack(pack) {
  if
  :: (packs & A) || MOVES1 || MOVES2(A) -> pack = A
  :: (packs & B) || MOVES2(B) -> pack = B
  :: (packs & C) -> pack = C
  fi
}

/* The put of moved/ is sent. */
inline forward(slots) {
  if
  :: (me == COMPACTOR1) -> slots1 = slots
  :: else -> slots2 = slots; from2 = source
  fi;
  underway = underway | me
}

proctype Compactor(byte me; byte target) {
  byte seen, source, live;
  sess = sess | me;
  seen = CONDEMNED;
#ifdef HEAL
  if
  :: (me == COMPACTOR1) -> goto heal
  :: else
  fi;
#endif
  atomic { /* choose: a pack with live slots, of which these are copied */
    if
    :: source = A
    :: (me == COMPACTOR2) -> source = B
    fi;
    if
    :: (packs & source & ~seen) -> live = USED(source) & ~TAKEN(source) & ~ROTTEN(source)
    :: else
    fi;
    before = before | (OTHERS(me, source) -> me : 0);
    if
    :: live -> packs = packs | target
    :: else -> goto ended
    fi;
    seen = 0
  }
#ifdef HEAL
  goto commit;
heal:
  atomic { /* what has rotted is at its target as well */
    source = A;
    if
#ifdef WITHOUT_HEAL_TARGET
    :: (packs & target)
#else
    :: (packs & target & ~seen)
#endif
       -> live = USED(source) & ROTTEN(source) & ~TAKEN(source)
    :: else
    fi;
    before = before | (OTHERS(me, source) -> me : 0);
    if
    :: live
    :: else -> goto ended
    fi;
    seen = 0
  }
#endif
commit:
  if
  :: (fence & me) -> goto ended
  :: else
  fi;
  atomic { forward(live) }
  do
  :: (landed & me) -> break
  :: atomic { /* what is still not forwarded is tried again, with the next number */
       (refused & me) -> refused = refused & ~me; before = before | me; live = live & ~TAKEN(source);
       if
       :: live -> forward(live)
       :: else -> source = 0; goto ended
       fi
     }
  od;
  /* settle */
  atomic {
    live = 0; source = 0;
    if
    :: (fence & me) && !((named | voided) & me) -> named = named | me
    :: else
    fi;
#ifdef HEAL
    healed = healed | (me == COMPACTOR1 && (landed & ~voided & me)); check()
#endif
  }
ended: sess = sess & ~me
}

/* Create-only: the number after the highest that the compactor read. */
inline land(who, source) {
  atomic {
    (underway & who) -> underway = underway & ~who;
    if
#ifndef WITHOUT_NUMBER_ONCE
    :: (OTHERS(who, source) && !(before & who)) -> refused = refused | who
#endif
    :: else -> landed = landed | who; latest = who; check()
    fi
  }
}

proctype Network() {
end:
  do
  :: land(COMPACTOR1, A)
  :: land(COMPACTOR2, from2)
  od
}

/* Ends a session, whenever it likes, also one that has ended before. */
proctype Fencer(byte who) {
  byte verdict;
  fence = fence | who;
  verdict = landed & who;
  atomic {
    if
    :: !((named | voided) & who) -> named = named | verdict; voided = voided | (who & ~verdict); check()
    :: else
    fi;
    verdict = 0
  }
  sess = sess & ~who
}

/* An epoch of a keeper of its own. */
proctype Keeper(byte epoch) {
  byte pack, holders, among;
  bool forGood;
again:
#ifdef WITHOUT_FRESH_GC
  atomic { (epochs < EPOCHS) -> among = (packs & ~CONDEMNED) | UNLESS_CUT(plain[0] | plain[1]) }
#endif
  atomic {
    (epochs < EPOCHS) -> epochs++;
    anyPack(pack);
    if
    :: plain[epoch] = pack; forGood = true
    :: moved[epoch] = pack; forGood = false
    fi
  }
  holders = sess;
  !(holders & sess & ~(named | voided));
  /* decide: gc/ is read, then the points are listed */
#if defined(WITHOUT_TARGET_STAYS)
  atomic { holders = 0; among = packs | THROUGH_B }
#elif defined(WITHOUT_FRESH_GC)
  holders = 0;
#else
  atomic { holders = 0; among = (packs & ~CONDEMNED) | UNLESS_CUT(plain[0] | plain[1]) }
#endif
  atomic {
    if
    :: forGood && USED(pack) -> pack = 0
#ifndef WITHOUT_ALL_FORWARDED
    :: !forGood && (USED(pack) & ~BEHIND(pack, among & (packs | THROUGH_B), SETTLED)) -> pack = 0
#endif
    :: else
    fi;
    among = 0
  }
  /* sweep */
  atomic { packs = packs & ~pack; check() }
  atomic {
    if
#ifndef WITHOUT_FORWARDING_KEPT
    :: !forGood
#endif
    :: else -> dropped = dropped | (landed & (((pack == A) -> COMPACTOR1 : 0) | ((from2 && from2 == pack) -> COMPACTOR2 : 0))); check()
    fi;
    plain[epoch] = 0; moved[epoch] = 0; pack = 0; forGood = false
  }
  goto again
}

proctype Writer() {
  byte plainly, seen, pack, slot;
  sess = sess | WRITER;
  atomic {
#ifndef WITHOUT_MOVED_FLAG
    plainly = plain[0] | plain[1];
#endif
    seen = CONDEMNED
  }
  atomic { /* by the index, which finds packs that are there, or by the parent */
    anyPack(pack);
    if
    :: slot = 1
    :: slot = 2
    fi;
    if
    :: (packs & pack & ~seen) && !(ROTTEN(pack) & slot)
    :: ((packs & pack) || (NAMED_IN(pack) & slot)) && !(plainly & pack) && (BEHIND(pack, UNSUSPECTED, SETTLED) & slot)
    :: else -> goto ended
    fi;
    plainly = 0; seen = 0
  }
  atomic { newPack = pack; newSlot = slot; pack = 0; slot = 0; new = true; check() }
ended: sess = sess & ~WRITER
}

init {
  atomic {
    run Network(); run Writer();
    run Compactor(COMPACTOR1, B);
#if COMPACTORS == 2
    run Compactor(COMPACTOR2, C);
#endif
    run Keeper(0);
#if KEEPERS == 2
    run Keeper(1);
#endif
#if FENCERS & 1
    run Fencer(COMPACTOR1);
#endif
#if FENCERS & 2
    run Fencer(COMPACTOR2);
#endif
  }
  old = false; /* purged, at any time, and so is the new point */
  atomic { new -> new = false }
}
