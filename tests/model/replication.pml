/* The replication protocol of one shard, small enough to be searched whole:
 * fence, takeover, append, commit, join, leave and dedup. run.py does it.
 *
 * Three replicas (one, two or all of them in sync at the start), two pushes
 * that clients send again until they are answered, and CRASHES, PAUSES and
 * CHANGES below. The rules, and what happens without them, by the switch that
 * takes one out (run.py expects a counterexample for each):
 *
 *   NO_RULE_3_1_JOIN   Whoever the store calls in sync must have a push before
 *   NO_RULE_3_1_LEAVE  it is acknowledged: a learner is required before the
 *                      store learns of it, a member that leaves until the store
 *                      has forgotten it. Else a failover picks one without it.
 *   NO_RULE_3_2        A new primary appends a no-op, brings all members to it,
 *                      and only then calls its tail committed and serves. Else
 *                      it answers for pushes that only it has.
 *   NO_RULE_3_3_EPOCH  A replica takes nothing from an epoch older than its
 *                      promise. Else a fenced primary goes on.
 *   NO_RULE_3_3_TAIL   A tail that differs from the newer primary's is cut.
 *                      Else positions agree and contents do not.
 *   NO_RULE_3_4        Membership names incarnations. Else who lost its memory
 *                      answers for what it had.
 *   NO_RULE_2_1        A new primary knows the pushes in its log's tail. Else a
 *                      retry is applied twice.
 *
 * What stands for what. A process that is not scheduled is one that is paused,
 * slow or cut off; so a pause is a suspicion of a replica that is well, and
 * "waits up to 100 ms" is any choice of who answers. Messages are not modelled
 * as such: a backup reads the primary's log and view when it takes a record.
 * That covers late messages: until the sender has heard of a newer epoch its
 * state says what the late message says, and delivery afterwards commutes with
 * that hearing, because the receiver judges by its own promise. The last
 * configuration stays readable while a failover runs, for the same reason. An
 * acknowledgement waits in `match` until its primary acts on it.
 */

#define REPLICAS 3
#define RECORDS 5 /* room in a log: the pushes, and a no-op per failover */

#ifndef CRASHES
#define CRASHES 1 /* a process ends, its memory with it, and starts again */
#endif
#ifndef PAUSES
#define PAUSES 1 /* a replica that is well is suspected */
#endif
#ifndef CHANGES
#define CHANGES 1 /* one join or one leave */
#endif

/* A record says what it is, a push (1, 2) or a no-op (3), and the epoch it was
 * written in. Equal records stand for equal checksums. */
#define NOOP 3
#define REC(epoch, what) ((epoch) * 4 + (what))
#define WHAT(record) ((record) & 3)

/* Sets of members: bit r is replica r's first incarnation, bit r + 3 its
 * second. */
#define FIRST(r) (1 << (r))
#define SECOND(r) (8 << (r))
#define MEMBER(r) (reborn[r] -> SECOND(r) : FIRST(r))
#define ANY(r) (FIRST(r) | SECOND(r))
#define NOBODY 7

/* ---- State -------------------------------------------------------------- */

/* The store, changed by transactions only. */
byte store_epoch = 1;
bool fencing;
byte cfg_epoch = 1; /* of the last configuration, which late messages carry */
byte cfg_primary = 0;
byte in_sync;

/* The coordinator, during a failover. */
byte answered;                    /* members */
byte best, best_epoch, best_length; /* the most complete log among them */

/* What a replica has. A crash takes log and commit, not the promise. */
typedef Log { byte at[RECORDS] };
Log log[REPLICAS];
byte length[REPLICAS], commit[REPLICAS];
byte promise[REPLICAS], promised_to[REPLICAS];
bool reborn[REPLICAS];

/* What it believes besides, while it is primary or has not heard otherwise. */
typedef Match { byte has[REPLICAS]; byte whose[REPLICAS] };
byte view[REPLICAS]; /* epoch; 0: it does not lead */
bool serving[REPLICAS];
byte required[REPLICAS]; /* members whose acknowledgements commit a record */
byte takeover[REPLICAS]; /* length of its log with its no-op */
Match match[REPLICAS];   /* records acknowledged, and by which member */

/* What is left of the bounds. */
byte crashes = CRASHES, changes = CHANGES, suspicions = PAUSES;

/* What was promised to clients, and what was ever committed anywhere. */
byte sent, acked; /* pushes, as bits */
byte leader[8];   /* whom the store named, by epoch */
byte history[RECORDS], history_length;

hidden byte i, j, k;
hidden byte found, all;

/* ---- Helpers ------------------------------------------------------------ */

/* found: r's records in [from, upto) hold the push. */
inline find(r, push, from, upto) {
  found = false;
  for (i : 0 .. RECORDS - 1) {
    if
    :: i >= from && i < upto && WHAT(log[r].at[i]) == push -> found = true
    :: else
    fi
  }
}

/* all: every required member has acknowledged the first `upto` records. */
inline all_have(r, upto) {
  all = true;
  for (i : 0 .. REPLICAS - 1) {
    if
    :: i != r && (required[r] & ANY(i)) &&
       (match[r].whose[i] != (required[r] & ANY(i)) ||
        match[r].has[i] < upto) -> all = false
    :: else
    fi
  }
}

inline append(r, record) {
  assert(length[r] < RECORDS);
  log[r].at[length[r]] = record;
  length[r]++
}

inline stop_leading(r) {
  view[r] = 0; serving[r] = false; required[r] = 0; takeover[r] = 0;
  for (i : 0 .. REPLICAS - 1) {
    match[r].has[i] = 0; match[r].whose[i] = 0
  }
}

/* From here on these records are applied and visible: they must be what anybody
 * ever committed at their place, and hold no push twice. */
inline advance_commit(r, upto) {
  for (i : 0 .. RECORDS - 1) {
    if
    :: i >= commit[r] && i < upto ->
       if
       :: i < history_length -> assert(history[i] == log[r].at[i])
       :: else ->
          for (j : 0 .. RECORDS - 1) {
            assert(j >= history_length || WHAT(history[j]) == NOOP ||
                   WHAT(history[j]) != WHAT(log[r].at[i]))
          }
          history[i] = log[r].at[i];
          history_length = i + 1
       fi
    :: else
    fi
  }
  commit[r] = upto
}

/* Who starts to serve has every push that was ever acknowledged; unless it has
 * been superseded and has not heard, for then it can acknowledge nothing. */
inline begin_to_serve(r) {
  serving[r] = true;
  for (k : 1 .. 2) {
    find(r, k, 0, commit[r]);
    assert(found || !(acked & k) || view[r] < cfg_epoch)
  }
}

/* ---- A replica as primary ----------------------------------------------- */

#define MAY_LEAD(r) \
  (cfg_primary == r && (in_sync & MEMBER(r)) && cfg_epoch > view[r] && \
   (cfg_epoch > promise[r] || \
    (cfg_epoch == promise[r] && promised_to[r] == NOBODY))) /* 3.5 */

/* It hears of its configuration: the first after a fence (3.2), or one that it
 * asked for while it leads; not before that a smaller set may do (3.1). */
inline configure(r) {
  promise[r] = cfg_epoch; promised_to[r] = r; required[r] = in_sync;
  if
  :: view[r] -> view[r] = cfg_epoch
  :: else ->
     view[r] = cfg_epoch;
#ifdef NO_RULE_3_2
     takeover[r] = length[r];
     advance_commit(r, length[r]);
     begin_to_serve(r)
#else
     append(r, REC(cfg_epoch, NOOP));
     takeover[r] = length[r]
#endif
  fi
}

/* A client's push or its retry. One that the log holds already is not appended
 * again, but answered once it is committed (2.1). */
inline take_push(r, push) {
#ifdef NO_RULE_2_1
  find(r, push, takeover[r], length[r]);
#else
  find(r, push, 0, length[r]);
#endif
  if
  :: !found -> append(r, REC(view[r], push)); sent = sent | push
  :: else
  fi
}

inline commit_next(r) {
  if
  :: serving[r] ->
     all_have(r, commit[r] + 1);
     if
     :: all -> advance_commit(r, commit[r] + 1)
     :: else
     fi
  :: else ->
     all_have(r, takeover[r]);
     if
     :: all -> advance_commit(r, takeover[r]); begin_to_serve(r)
     :: else
     fi
  fi
}

inline acknowledge(r, push) {
  find(r, push, 0, commit[r]);
  if
  :: found ->
     assert(promise[r] == view[r] && promised_to[r] == r); /* not fenced */
     assert(leader[view[r]] == r); /* nobody else acknowledges in its epoch */
     acked = acked | push
  :: else
  fi
}

/* ---- A replica as backup or learner of p -------------------------------- */

#ifdef NO_RULE_3_3_EPOCH
#define ACCEPTS(r, p) true
#else
#define ACCEPTS(r, p) \
  (view[p] > promise[r] || (view[p] == promise[r] && \
   (promised_to[r] == NOBODY || promised_to[r] == p)))
#endif

/* p leads, r can still matter to it, and one does not know the other's state. A
 * commit point alone is no news: it comes with the next record. */
#define NEWS(r, p) \
  (view[p] && ((required[p] | in_sync) & ANY(r) || changes) && \
   ACCEPTS(r, p) && \
   (match[p].has[r] < length[p] || match[p].whose[r] != MEMBER(r) || \
    promise[r] < view[p]))

/* k: how many records, from the first, r has in common with p. */
inline common_prefix(r, p) {
  k = 0;
#ifdef NO_RULE_3_3_TAIL
  k = (length[r] < length[p] -> length[r] : length[p]);
#endif
  for (i : 0 .. RECORDS - 1) {
    if
    :: k == i && i < length[r] && i < length[p] &&
       log[r].at[i] == log[p].at[i] -> k = i + 1
    :: else
    fi
  }
}

inline truncate(r, upto) {
  /* Nothing committed is ever replaced, whether or not r knows that it is. */
  assert(upto >= commit[r]);
  assert(upto >= length[r] || upto >= history_length ||
         log[r].at[upto] != history[upto]);
  for (i : 0 .. RECORDS - 1) {
    if
    :: i >= upto -> log[r].at[i] = 0
    :: else
    fi
  }
  length[r] = upto
}

/* Raises r's promise to p's epoch, takes the next record of p that it lacks,
 * acknowledges all it has, and learns how much of that is committed. */
inline take_record(r, p) {
  if
  :: view[r] && promise[r] < view[p] -> stop_leading(r)
  :: else
  fi;
  if
  :: promise[r] <= view[p] -> promise[r] = view[p]; promised_to[r] = p
  :: else
  fi;
  common_prefix(r, p);
  if
  :: k < length[p] -> truncate(r, k); append(r, log[p].at[k]); k++
  :: else
  fi;
  match[p].has[r] = k; match[p].whose[r] = MEMBER(r);
  k = (commit[p] < k -> commit[p] : k);
  if
  :: k > commit[r] -> advance_commit(r, k)
  :: else
  fi
}

/* ---- Joining and leaving (3.1) ------------------------------------------ */

#define MAY_CHANGE(r) \
  (changes && serving[r] && !fencing && store_epoch == view[r])

#define OUTSIDE(r, other) (other != r && !(in_sync & MEMBER(other)))

/* First the learner's acknowledgements are required ... */
#ifdef NO_RULE_3_1_JOIN
#define REQUIRED(r, other) true
#else
#define REQUIRED(r, other) (required[r] & MEMBER(other))
#endif

/* ... and when it has the end of the log the store is told. */
#define AT_THE_END(r, other) \
  (match[r].whose[other] == MEMBER(other) && \
   match[r].has[other] == length[r])

inline join(other) {
  in_sync = in_sync | MEMBER(other);
  store_epoch++; leader[store_epoch] = cfg_primary; cfg_epoch = store_epoch;
  changes--
}

inline leave(other) {
  in_sync = in_sync & ~ANY(other);
  store_epoch++; leader[store_epoch] = cfg_primary; cfg_epoch = store_epoch;
  changes--
}

/* ---- Processes ---------------------------------------------------------- */

/* r, and its two peers. */
proctype Replica(byte r; byte a; byte b) {
end:
  do
  :: d_step { MAY_LEAD(r) -> configure(r) }
  :: d_step { serving[r] && !(acked & 1) -> take_push(r, 1) }
  /* They are alike, so it is push 1 that comes first somewhere. */
  :: d_step { serving[r] && !(acked & 2) && sent -> take_push(r, 2) }
  :: d_step { view[r] && commit[r] < length[r] -> commit_next(r) }
  :: d_step { serving[r] && !(acked & 1) -> acknowledge(r, 1) }
  :: d_step { serving[r] && !(acked & 2) -> acknowledge(r, 2) }

  :: d_step { NEWS(r, a) -> take_record(r, a) }
  :: d_step { NEWS(r, b) -> take_record(r, b) }

#ifndef NO_RULE_3_1_JOIN
  :: d_step { MAY_CHANGE(r) && OUTSIDE(r, a) && required[r] == in_sync ->
              required[r] = required[r] | MEMBER(a) }
  :: d_step { MAY_CHANGE(r) && OUTSIDE(r, b) && required[r] == in_sync ->
              required[r] = required[r] | MEMBER(b) }
#endif
  :: d_step { MAY_CHANGE(r) && OUTSIDE(r, a) && REQUIRED(r, a) &&
              AT_THE_END(r, a) -> join(a) }
  :: d_step { MAY_CHANGE(r) && OUTSIDE(r, b) && REQUIRED(r, b) &&
              AT_THE_END(r, b) -> join(b) }
#ifdef NO_RULE_3_1_LEAVE
  :: d_step { MAY_CHANGE(r) && (required[r] & ANY(a)) ->
              required[r] = required[r] & ~ANY(a) }
  :: d_step { MAY_CHANGE(r) && (required[r] & ANY(b)) ->
              required[r] = required[r] & ~ANY(b) }
#endif
  /* The primary itself never leaves, so nor does the last member. */
  :: d_step { MAY_CHANGE(r) && (in_sync & ANY(a)) ->
              leave(a) }
  :: d_step { MAY_CHANGE(r) && (in_sync & ANY(b)) ->
              leave(b) }
  od
}

/* r's answer to the fence of 3.7(2): its promise, then what it has. */
inline fence(r) {
  stop_leading(r);
  promise[r] = store_epoch; promised_to[r] = NOBODY;
  answered = answered | MEMBER(r);
  k = (length[r] -> log[r].at[length[r] - 1] / 4 : 0);
  if
  :: best == NOBODY || k > best_epoch ||
     (k == best_epoch && length[r] > best_length) ->
       best = r; best_epoch = k; best_length = length[r]
  :: else
  fi
}

#define TO_FENCE(r) \
  (fencing && (in_sync & MEMBER(r)) && promise[r] < store_epoch)

/* 3.7. A suspicion that comes while one is dealt with stands for a new leader
 * that finds `fencing` and starts again. */
proctype Coordinator() {
end:
  do
  :: d_step { suspicions ->
       suspicions--; store_epoch++; fencing = true;
       answered = 0; best = NOBODY; best_epoch = 0; best_length = 0 }
  :: d_step { TO_FENCE(0) -> fence(0) }
  :: d_step { TO_FENCE(1) -> fence(1) }
  :: d_step { TO_FENCE(2) -> fence(2) }
  :: d_step { fencing && answered ->
       fencing = false; cfg_epoch = store_epoch; cfg_primary = best;
       leader[store_epoch] = best;
       in_sync = answered; answered = 0; best = 0; best_epoch = 0;
       best_length = 0 }
  od
}

/* Memory is gone; 3.4: and so is the incarnation. */
inline crash(r) {
  crashes--; suspicions++;
  stop_leading(r);
  for (i : 0 .. RECORDS - 1) { log[r].at[i] = 0 }
  length[r] = 0; commit[r] = 0;
#ifndef NO_RULE_3_4
  reborn[r] = true
#endif
}

proctype Faults() {
end:
  do
  :: d_step { crashes -> crash(0) }
  :: d_step { crashes -> crash(1) }
  :: d_step { crashes -> crash(2) }
  od
}

init {
  atomic {
    d_step {
      for (i : 0 .. REPLICAS - 1) { promise[i] = 1; promised_to[i] = 0 }
      view[0] = 1; serving[0] = true
    };
    if
    :: in_sync = FIRST(0)
    :: in_sync = FIRST(0) | FIRST(1)
    :: in_sync = FIRST(0) | FIRST(1) | FIRST(2)
    fi;
    required[0] = in_sync;
    run Replica(0, 1, 2); run Replica(1, 0, 2); run Replica(2, 0, 1);
    run Coordinator(); run Faults()
  }
}
