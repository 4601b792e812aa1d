/* Rule trash: delete, undelete, purge, and the end of what was purged. */

proctype User() {
  byte point, it, read;
end:
  do
  :: atomic {
       if
       :: (TARGETS & R0) -> point = 0
       :: (TARGETS & R1) -> point = 1
       :: (TARGETS & R2) -> point = 2
       fi;
       it = 1 << point; read = records[point];
       if
       :: (points & voided & it) -> points = points & ~it; goto done
       :: (purging & ~points & it) && ENDED(it) -> purging = purging & ~it; records[point] = 0; check(); goto done
       :: (purging & points & it) -> goto purge
       :: (COUNTING & ~trashed & it) && read < RECORDS -> goto delete
       :: (COUNTING & trashed & it) && read < RECORDS -> goto undelete
       :: (COUNTING & trashed & it) && read < RECORDS -> goto sentence
       :: else -> goto done
       fi
     }
delete:
     atomic {
       if
       :: FREE -> records[point] = read + 1; trashed = trashed | it; back = back & ~it
       :: else
       fi;
       goto done
     }
undelete:
     atomic {
       if
       :: FREE -> records[point] = read + 1; trashed = trashed & ~it; purging = purging & ~it;
#ifdef WITHOUT_UNDELETE_LOOK
          back = back | it; check(); goto done
#endif
       :: else -> goto done
       fi
     }
     atomic { back = back | (it & COUNTING & ~trashed & ~(fence & ~named)); check(); goto done }
sentence:
#ifdef WITHOUT_PURGE_FIRST
     points = points & ~it;
#endif
     atomic {
       if
       :: FREE -> records[point] = read + 1; trashed = trashed & ~it; purging = purging | it; purged = purged | it; check()
       :: else -> goto done
       fi
     }
purge:
     atomic { points = points & ~it; goto done }
done:
     atomic { point = 0; it = 0; read = 0 }
  od
}
