/*
 * ADR 0007 as a model: commit, condemn, fence, delete and undelete, every interleaving. care-model.long.test.ts runs it
 * as it is, which finds no error, and once without each rule (-DWITHOUT_...). docs/reliability.md says what came out.
 *
 * A statement or an `atomic` is one storage operation; between two of them anybody else may act for any time, and whoever
 * does not act any more has crashed. Sets of packs, points and sessions are bit masks; a session has the bit of its point.
 * Where the protocol relies on nothing, the model gives the worst: find condemns any packs, the index names any pack that
 * is there. Time matters once: a purging record goes when no put of its manifest is under way (the 30 days).
 *
 * Who takes part: WRITERS (1 first, 2 second, 3 both), KEEPERS (1-2 that collect), FENCERS (0-2), USERS (0-2), READERS
 * (0-1), TARGETS (points that users act upon), RECORDS (trash records of each point), FIND (an honest find).
 */
#define P0 1 /* the pack of the old point R0 */
#define P1 2 /* the pack that the first writer uploads */
#define R0 1
#define R1 2 /* the first writer's session and point */
#define R2 4 /* the second writer's, who uploads nothing: all it has is found by deduplication */
#define READER 8
#define POINTS 3

#define EPOCHS 2

/* The storage. */
#if WRITERS == 2
byte packs = P0 | P1; /* the first writer crashed long ago: P1 is an orphan */
#else
byte packs = P0;
#endif
byte points = R0, sess, fence;
byte named, voided;               /* verdicts: the session's point counts, none does */
byte condemned[EPOCHS];           /* gc/<epoch>-condemned */
byte gone[EPOCHS], kept[EPOCHS];  /* gc/<epoch>-outcome: deleted, taken back; there is none when both are empty */
byte records[POINTS];             /* highest number of tomb/<rpid>.<n> */
byte trashed, purging;            /* what that record says */
byte underway, again;             /* manifest puts that have not landed yet; their repetitions */

/* What nobody in the protocol can see. */
byte on0 = R0, on1;               /* points that use P0, P1 */
byte began, landed, told, failed; /* sessions that began; manifests that landed; writers told "committed", "void" */
byte back, purged;                /* undeleted with success and not deleted since; purged */
byte reading;                     /* the point that the reader's session names */
byte held;                        /* packs of that point, once the reader has looked */
byte epochs;                      /* epochs so far */

#define COUNTING (points & ~purging & ~voided)
#define PACKS_OF(set) ((on0 & (set) -> P0 : 0) | (on1 & (set) -> P1 : 0))
#define UNFENCED (began & (sess | ~(named | voided)))
#define CONDEMNED (condemned[0] | condemned[1])

#define EPOCH_DECIDED(e) (gone[e] | kept[e])
#define EPOCH(e) (condemned[e] | EPOCH_DECIDED(e)) /* seen below gc/ */
#ifdef WITHOUT_NUMBERED
#define FREE true
#else
#define FREE (records[point] <= read) /* the put of the next number is create-only */
#endif
#ifdef WITHOUT_PURGING_KEPT
#define ENDED(it) true
#else
#define ENDED(it) !((underway | again) & it)
#endif

#ifdef WITHOUT_TRASHED_LIVE
#define LIVE (COUNTING & ~trashed)
#else
#define LIVE COUNTING
#endif

inline check() {
  assert(!(PACKS_OF(COUNTING) & ~packs)); /* a point that counts has its packs */
  assert(!(told & ~(COUNTING | purged))); /* committed is committed */
  assert(!(failed & COUNTING));           /* void is void */
  assert(!(back & ~COUNTING));            /* undeleted is there */
  assert(!(held & ~packs) || (fence & READER)) /* a reader's packs stay */
}

#include "writer.pml"
#include "keeper.pml"
#include "user.pml"

init {
  atomic {
#if WRITERS != 2
    run Writer(R1, P1); run Network(R1);
#endif
#if WRITERS != 1
    run Writer(R2, 0); run Network(R2);
#endif
    run Keeper();
#if KEEPERS == 2
    run Keeper();
#endif
#if FENCERS
    run Fencer();
#endif
#if FENCERS == 2
    run Fencer();
#endif
#if USERS
    run User();
#endif
#if USERS == 2
    run User();
#endif
#if READERS
    run Reader();
#endif
    skip
  }
}
