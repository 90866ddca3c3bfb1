/* The role protocol of two nodes, for spin: who is Primary, whatever the network, the machines and the
 * operators do. test_model.py runs it.
 *
 * What decides is not written here a second time: `decide` looks into a table that table.py makes from
 * voicemail/cluster/roles.py, so the model runs the rules that the product runs. Written by hand is what
 * is around them: keepalive.py, manager.py, primary/lease.py, the fence of the store, and the world.
 * Node 0 is the publisher (number 1 in the product), node 1 the other.
 *
 * Time is not modelled. In its place stand these assumptions, and nothing else:
 *  - A node's beat is one atomic step: hear, decide, renew the lease, tell. Both beat at the same pace:
 *    neither gets more than AHEAD beats ahead of the other, so nothing below needs fairness.
 *  - A peer may be found silent at any beat while nothing comes from it: its way here is cut, it is dead,
 *    or it is frozen. While keep-alives can come, it is not: a link so bad that for 2 s none comes is cut.
 *    When one way is cut, both nodes may find the other silent: the product does (TCP without acknowledgements,
 *    datagrams without echo), which is both ways cut here.
 *  - The lease (1.5 s) of a frozen node ends before that node is found silent (2 s). This is the one
 *    comparison of two times that safety rests on; the mutant NO_LEASE drops it.
 *  - An operator's wish, a start, a merge take any time, and have ended before the world is quiet.
 *
 * The world does a bounded number of harmful things, of any kind, at any moments; it repairs as it likes,
 * and in the end it is quiet for ever, with or without having repaired all. (Where status changes only by
 * an operator's hand it must repair all: a Secondary stays Secondary beside a dead Primary.)
 *
 * What is checked; all but the last are asserts that bear these names:
 *   epochs    no two nodes ever do duties in the same epoch
 *   fence     the store keeps no result of a duty that is older than an epoch it has seen
 *   lease     a node that was replaced because it was frozen does no duty before it has listened anew
 *   listen    no node takes duties over before it has listened for the other
 *   turns     no node becomes Primary while it hears a Primary
 *   calm      a Primary becomes Secondary only if it is asked to, or cannot do the work
 *   recovery  Split Brain Recovery lasts until the stores are merged, if both can work
 *   orders    what an operator asked for is done, if it can be
 *   held      with automatic change off a Secondary becomes Primary only for an operator or when there is none
 *   operator  a Deactivated node stays so until it is activated
 *   service   a node that can answer no call says so
 *   bounded   in a run with so little trouble epochs do not grow for ever: no two rules undo one another
 *   settles   once the world is quiet, then after a while and for ever: of two nodes that serve and hear one
 *             another one is Primary and on duty under the newest epoch, the other Secondary, and the
 *             Primary is not the worse of the two; a node that serves beside one that is dead, frozen,
 *             cut off, Deactivated, without calls or starting for ever is Primary
 */

#include "names.h" /* PRIMARY ... SPLIT_BRAIN_RECOVERY, NOBODY (no keep-alive within the limit) */

c_decl {
\#include "table.c"
}

#define AHEAD 1

/* View.gave from GAVE on; View.just_gave: less than HAND_OVER ago. */
#define GAVE 1
#define JUST_GAVE 2

/* How a node's services are: View.calls_work from COMING_UP on, View.ready from NO_DUTIES on,
 * View.duties_work with ALL_WORK only. */
#define NO_CALLS 0
#define COMING_UP 1
#define NO_DUTIES 2
#define ALL_WORK 3

/* ---- a node: its Manager */
byte status[2];
byte epoch[2];  /* Manager.epoch: of its last turn on duty */
byte seen[2];   /* Manager.seen: kept on disk before it is used, so a restart knows it */
byte services[2];
bit wish[2];    /* an operator made it Primary less than WISH ago */
byte gave[2];   /* it handed the Primary's work over, and has not heard that it was taken */
bit lease[2];   /* the Primary's process may act, under epoch[] */

/* ---- its Hearing: `fresh`, the last keep-alive is young enough; `sought`, it listened long enough */
bit fresh[2];
bit sought[2];
byte heard_status[2];
bit heard_works[2];
bit heard_wish[2];
bit late[2];    /* the peer has been Starting for longer than a start takes */

/* ---- the keep-alive on its way to node i. While it waits to be heard no other is told, so what is heard
 * may be as old as the beats are apart. What was under way when the link was cut still comes, at any
 * time, as TCP repeats it. Keep-alives go two ways, TCP and datagrams; as they are numbered and nothing
 * takes the place of what is newer, both are one here (hearing.py, beacon.py). A datagram never is from
 * long ago: it names what it answers. */
bit told[2];
byte told_status[2];
byte told_epoch[2];
bit told_works[2];
bit told_wish[2];
bit told_long_ago[2]; /* before this node was frozen, or while it was */

/* ---- the world */
bit comes[2];     /* what is told to node i arrives: the two ways are cut one by one */
bit dead[2];      /* its processes were killed, or its machine is off */
bit frozen[2];    /* its supervisor stands still; the Primary's process may stand still, too, or run on */
bit woken[2];     /* it was frozen and has not yet noticed */
bit merged;       /* both stores hold what either took alone */
bit quiet;
byte trouble;     /* harmful things done so far */
byte paces;       /* beats of node 0 less those of node 1, plus AHEAD */
bit replaced[2];  /* it was found silent for no other reason than that it is frozen, and has not listened
                   * since. In a cut both act, as neither can know. */

/* ---- the store: its fence, and one duty that is watched: any one of the run, as spin tries each */
byte fence[2];    /* the newest epoch shown to this node's store */
byte duty;        /* the epoch of the watched duty; 0: none yet */
bit worker;       /* who does it */
bit open;         /* its result is still to be kept */

/* ---- the view to decide on, and what was decided; of no meaning between two steps */
hidden byte v_me, v_peer, v_publisher, v_services, v_peer_works, v_sought, v_merged, v_wanted;
hidden byte v_peer_wanted, v_gave, v_peer_late, become, rule;

/* ---- what the product does */

/* Manager.view and roles.decide. What the peer said counts only while it is fresh. */
inline decide(i) {
  v_me = status[i];
  v_peer = (fresh[i] -> heard_status[i] : NOBODY);
  v_publisher = i == 0;
  v_services = services[i];
  v_peer_works = fresh[i] && heard_works[i];
  v_sought = sought[i];
  v_merged = merged && fresh[i];
  v_wanted = wish[i];
  v_peer_wanted = fresh[i] && heard_wish[i];
  v_gave = gave[i];
  v_peer_late = late[i];
  c_code { vm_decide(); }
}

/* roles.IDLE, roles.has_duties */
#define idle(i) (status[i] == SECONDARY || status[i] == REPLICATING_DATA)
#define on_duty(s, i) (s == PRIMARY || (s == SPLIT_BRAIN_RECOVERY && i == 0))

/* roles.next_epoch: odd ones are the publisher's, even ones the other's. */
inline next_epoch(i) {
  epoch[i] = seen[i] + 1;
  if
  :: c_expr { vm_keeps[SAME_EPOCHS] } && epoch[i] % 2 == i -> epoch[i]++
  :: else
  fi;
  seen[i] = epoch[i];
  assert(epoch[i] < 60)                                                                       /* bounded */
}

/* Manager.tick and _become: a new epoch with duties, and when the peer had a newer one. */
inline tick(i) {
  decide(i);
  assert(v_me != DEACTIVATED || become == DEACTIVATED);                                      /* operator */
  assert(v_me != PRIMARY || become != SECONDARY || v_peer_wanted || v_services != ALL_WORK);     /* calm */
  assert(c_expr { !vm_repaired } || v_me != SECONDARY || become != PRIMARY || v_wanted || v_gave ||
    v_peer == SECONDARY);                                                                         /* held */
  assert(!(v_me == PRIMARY && v_peer == SECONDARY && v_peer_wanted && v_peer_works) || v_wanted ||
    become != PRIMARY);                                                                         /* orders */
  assert(!(v_me == SECONDARY && v_wanted && v_services == ALL_WORK && v_peer == SECONDARY && !v_peer_wanted) ||
    become == PRIMARY);                                                                         /* orders */
  assert(v_services != NO_CALLS || become == NOT_FUNCTIONING || become == DEACTIVATED);      /* service */
  assert(v_me == PRIMARY || become != PRIMARY || v_peer != PRIMARY);                             /* turns */
  assert(!on_duty(become, i) || on_duty(v_me, i) || fresh[i] || sought[i]);                     /* listen */
  assert(v_me != SPLIT_BRAIN_RECOVERY || become == SPLIT_BRAIN_RECOVERY || v_merged ||
    v_services != ALL_WORK || !v_peer_works || v_peer == STARTING || v_peer == NOT_FUNCTIONING ||
    v_peer == DEACTIVATED || v_peer == NOBODY);                                               /* recovery */
  if
  :: on_duty(become, i) && (!on_duty(v_me, i) || (seen[i] > epoch[i] && c_expr { vm_keeps[OLD_EPOCH] })) ->
     next_epoch(i)
  :: else
  fi;
  if
  :: become != v_me ->
     gave[i] = (v_me == PRIMARY && become == SECONDARY -> JUST_GAVE : 0);
     status[i] = become;
     printf("> vm%d becomes %d by rule %d, epoch %d\n", i + 1, become, rule, epoch[i])
  :: else
  fi;
  if :: !idle(i) -> wish[i] = 0 :: else fi
}

/* Manager.duty, and the node telling the Primary's process, which shows its store the epoch first thing. */
inline feed(i) {
  lease[i] = on_duty(status[i], i) && (fresh[i] || sought[i]);
  if
  :: lease[i] && fence[i] < epoch[i] ->
     fence[i] = epoch[i];
     assert(!(duty == epoch[i] && worker != i))                                                /* epochs */
  :: else
  fi
}

/* KeepAlive, as Node._say fills it. */
inline tell(i) {
  if
  :: comes[1 - i] && !told[1 - i] && !dead[1 - i] ->
     told[1 - i] = 1;
     told_status[1 - i] = status[i];
     told_epoch[1 - i] = epoch[i];
     told_works[1 - i] = services[i] == ALL_WORK;
     told_wish[1 - i] = wish[i]
  :: else
  fi
}

/* Manager.heard */
inline hear(i) {
  heard_status[i] = told_status[i];
  heard_works[i] = told_works[i];
  heard_wish[i] = told_wish[i];
  if :: told_epoch[i] > seen[i] -> seen[i] = told_epoch[i] :: else fi;
  fresh[i] = 1;
  sought[i] = 1;
  if :: !told_long_ago[i] -> replaced[i] = 0 :: else fi;
  if
  :: heard_status[i] != STARTING -> late[i] = 0
  :: quiet && heard_status[i] == STARTING -> late[i] = 1 /* for ever is too long */
  :: else
  fi;
  if
  :: on_duty(heard_status[i], 1 - i) -> gave[i] = 0
  :: quiet && gave[i] == JUST_GAVE -> gave[i] = GAVE /* its time is over, too, one day */
  :: else
  fi;
  untold(i)
}

/* Hearing.peer gives None, Hearing.sought True. */
inline find_silent(i) {
  forget(i);
  sought[i] = 1;
  replaced[i] = 0;
  if :: frozen[1 - i] && comes[i] -> replaced[1 - i] = 1 :: else fi
}

/* Manager._was_frozen: what was heard, and what lies in the sockets, may be as old as the pause. */
inline listen_anew(i) {
  woken[i] = 0;
  if
  :: c_expr { vm_keeps[NO_LISTENING_ANEW] } -> forget(i); sought[i] = 0; untold(i)
  :: else
  fi
}

inline forget(i) { fresh[i] = 0; heard_status[i] = 0; heard_works[i] = 0; heard_wish[i] = 0; late[i] = 0 }

inline untold(i) {
  told[i] = 0; told_status[i] = 0; told_epoch[i] = 0; told_works[i] = 0; told_wish[i] = 0; told_long_ago[i] = 0
}

/* Whether a peer from which nothing comes may have been silent for 2 s. */
#define nothing_comes(i) (!comes[i] || dead[1 - i] || \
  (frozen[1 - i] && (!lease[1 - i] || c_expr { vm_mutant[NO_LEASE] })))

#define found_silent(i) (nothing_comes(i) && (fresh[i] || !sought[i]))

#define may_beat(i) ((i == 0 && paces < 2 * AHEAD) || (i == 1 && paces > 0))

proctype node(bit i) {
  do
  :: atomic {
       may_beat(i) ->
       if :: i == 0 -> paces++ :: else -> paces-- fi;
       if
       :: dead[i] || frozen[i]
       :: else ->
          if :: woken[i] -> listen_anew(i) :: else fi;
          if
          :: told[i] -> hear(i)
          :: !told[i] && !(quiet && found_silent(i))
          :: found_silent(i) -> find_silent(i)
          fi;
          tick(i);
          feed(i);
          tell(i)
       fi
     }
  od
}

/* The Primary's process: runner.py. Each act asks for the lease immediately before; its result goes to
 * the store with the epoch, any time later. Of all acts of a run one is watched. */
proctype work() {
  bit i;
  atomic {
    if
    :: lease[0] -> i = 0
    :: lease[1] -> i = 1
    fi;
    assert(!replaced[i]);                                                                       /* lease */
    duty = epoch[i];
    worker = i;
    open = 1
  }
  atomic {
    open = 0;
    if
    :: dead[worker]                                        /* and the act is done again by whoever is next */
    :: !dead[worker] && duty < fence[worker] && c_expr { vm_keeps[NO_FENCE] }                /* Fenced */
    :: !dead[worker] && (duty >= fence[worker] || c_expr { vm_mutant[NO_FENCE] }) ->
       assert(duty >= fence[worker])                                                            /* fence */
    fi
  }
}

/* ---- the world */

#define may_harm (!quiet && c_expr { now.trouble < vm_trouble })
#define all_is_well (comes[0] && comes[1] && !dead[0] && !dead[1] && !frozen[0] && !frozen[1])

/* Between two reunions each store may take what the other has not. */
inline harm() { trouble++; merged = 0 }

/* The Deactivated flag and the epoch are on disk; everything else is gone. */
inline kill(i) {
  dead[i] = 1;
  if :: status[i] != DEACTIVATED -> status[i] = STARTING :: else fi;
  services[i] = COMING_UP;
  epoch[i] = seen[i];
  wish[i] = 0; gave[i] = 0; lease[i] = 0; frozen[i] = 0; woken[i] = 0; replaced[i] = 0;
  forget(i); sought[i] = 0; untold(i)
}

/* What may befall one of the nodes, and what may be put right. */
proctype fate(bit i) {
  do
  :: quiet -> break

  :: atomic { may_harm && comes[i] -> harm(); comes[i] = 0; printf("> the way to vm%d is cut\n", i + 1) }
  :: atomic { may_harm && !dead[i] -> harm(); kill(i); printf("> vm%d is killed\n", i + 1) }
  :: atomic { may_harm && !dead[i] && !frozen[i] -> harm(); frozen[i] = 1; printf("> vm%d freezes\n", i + 1) }
  :: atomic { may_harm && !dead[i] && services[i] == ALL_WORK -> trouble++; services[i] = NO_DUTIES; printf("> duties fail at vm%d\n", i + 1) }
  :: atomic { may_harm && !dead[i] && services[i] > NO_CALLS -> trouble++; services[i] = NO_CALLS; printf("> calls fail at vm%d\n", i + 1) }
  /* Manager.order_primary, Manager.deactivate, when they are not refused */
  :: atomic { may_harm && !dead[i] && !frozen[i] && idle(i) && services[i] == ALL_WORK && !wish[i] &&
       gave[i] != JUST_GAVE && !(fresh[i] && heard_wish[i]) ->
       trouble++; wish[i] = 1; printf("> make-primary vm%d\n", i + 1) }
  :: atomic { may_harm && !dead[i] && !frozen[i] && status[i] == SECONDARY && !wish[i] && fresh[i] &&
       heard_status[i] == PRIMARY ->
       trouble++; status[i] = DEACTIVATED; gave[i] = 0; printf("> deactivate vm%d\n", i + 1) }

  :: atomic { !quiet && !comes[i] -> comes[i] = 1; printf("> the way to vm%d is whole\n", i + 1) }
  :: atomic { !quiet && dead[i] -> dead[i] = 0; printf("> vm%d starts\n", i + 1) }
  :: atomic { !quiet && frozen[i] -> frozen[i] = 0; woken[i] = 1; told_long_ago[i] = told[i]; printf("> vm%d wakes\n", i + 1) }
  :: atomic { !quiet && !dead[i] && services[i] < ALL_WORK -> services[i] = ALL_WORK; printf("> services at vm%d: %d\n", i + 1, services[i]) }
  :: atomic { !quiet && wish[i] -> wish[i] = 0; printf("> the wish for vm%d is over\n", i + 1) }                                               /* WISH is over */
  :: atomic { !quiet && !dead[i] && !frozen[i] && status[i] == DEACTIVATED -> status[i] = STARTING; printf("> activate vm%d\n", i + 1) }
  :: atomic { !quiet && gave[i] == JUST_GAVE -> gave[i] = GAVE }                 /* HAND_OVER is over */
  :: atomic { !quiet && heard_status[i] == STARTING && fresh[i] && !late[i] -> late[i] = 1 }
  /* its 1.5 s are over */
  :: atomic { !quiet && frozen[i] && lease[i] && c_expr { vm_keeps[NO_LEASE] } -> lease[i] = 0; printf("> the lease of vm%d ends\n", i + 1) }
  od
}

/* Nothing is on its way to happen here by itself. */
#define rests(i) (!wish[i] && gave[i] != JUST_GAVE && !(frozen[i] && lease[i]) && \
  (dead[i] || frozen[i] || !woken[i]))

proctype both_fates() {
  do
  :: atomic { may_harm && comes[0] && comes[1] -> harm(); comes[0] = 0; comes[1] = 0; printf("> both ways are cut\n") }
  :: atomic { !quiet && all_is_well && !merged -> merged = 1; printf("> the stores are merged\n") }
  :: atomic { comes[0] == comes[1] && rests(0) && rests(1) && (merged || !all_is_well) &&
       (c_expr { !vm_repaired } || (all_is_well && services[0] == ALL_WORK && services[1] == ALL_WORK)) ->
       quiet = 1; printf("> quiet\n"); break }
  od
}

init {
  atomic {
    c_code { vm_load(); };
    comes[0] = 1; comes[1] = 1;
    paces = AHEAD;
    if
    :: c_expr { vm_cold } ->                           /* nothing has ever run; both start, in any order */
       status[0] = STARTING; status[1] = STARTING; services[0] = COMING_UP; services[1] = COMING_UP
    :: c_expr { !vm_cold } ->                                       /* they have run well for a long time */
       status[0] = PRIMARY; status[1] = SECONDARY; services[0] = ALL_WORK; services[1] = ALL_WORK;
       epoch[0] = 1; seen[0] = 1; seen[1] = 1; fence[0] = 1; lease[0] = 1; merged = 1;
       fresh[0] = 1; sought[0] = 1; heard_status[0] = SECONDARY; heard_works[0] = 1;
       fresh[1] = 1; sought[1] = 1; heard_status[1] = PRIMARY; heard_works[1] = 1
    fi;
    run node(0); run node(1); run fate(0); run fate(1); run both_fates();
    if :: c_expr { vm_watched } -> run work() :: c_expr { !vm_watched } fi
  }
}

/* ---- what must be in the end */

#define serves(i) (!dead[i] && !frozen[i] && status[i] != DEACTIVATED && services[i] >= NO_DUTIES)
#define does_duties(i) (status[i] == PRIMARY && lease[i] && epoch[i] == seen[i])
#define pair(i) (does_duties(i) && seen[i] >= seen[1 - i] && status[1 - i] == SECONDARY && !lease[1 - i] && \
  (services[i] == ALL_WORK || services[1 - i] != ALL_WORK))
#define together (all_is_well && serves(0) && serves(1))
#define each_alone ((!serves(0) || does_duties(0)) && (!serves(1) || does_duties(1)))
#define settled ((together && (pair(0) || pair(1))) || (!together && each_alone))

ltl settles { (<> quiet) -> (<> [] settled) }
