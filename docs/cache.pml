/*
 * A model of the cache's protocol (cache.md) for SPIN, which tries every order of steps: one key, in the worst surroundings that the
 * protocol allows. A value is the number of the commit that wrote it. What is checked, by assert():
 *
 *   fresh      a read answers nothing older than what was acknowledged, or answered to another reader, before it was asked
 *   coherent   what a replica may read from the cache is what PostgreSQL has (-DCOHERENT; stronger than needed, and found sooner)
 *   true       a write whose client was told that it has not happened never happens
 *
 * Any call to Redis may be lost, or run after its caller has given up; a process may end between two steps; Redis may lose its memory
 * (-DLOSSES), a value or a lease; a replica may act under any epoch that some permit still allows. -DGATE: writes without Redis,
 * through the closed gate. -DRETRY: writer 1 is another attempt of writer 0's write.
 *
 *   apt-get install spin gcc
 *   spin -a -DCOHERENT cache.pml && gcc -O3 -DSAFETY -DCOLLAPSE -DVECTORSZ=4096 -o pan pan.c && ./pan -m1000000
 *
 * must say "errors: 0". With -DNOMARK, or another rule's name as in backend/test/coherence/variants.ts, it must find an error.
 */
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef READERS
#define READERS 1
#endif
#ifndef READS
#define READS 2
#endif
#ifndef OPENERS
#define OPENERS 1
#endif
#ifndef TRIES
#define TRIES 2
#endif
#ifndef EPOCHS
#define EPOCHS 2
#endif
#ifndef LOSSES
#define LOSSES 1
#endif
#define NAMES 3
#define NONE 0      /* of a name: it has no outcome */
#define RUNNING 1   /* a statement that keeps one is under way */
#define DONE 2
#define REFUSED 3

/* PostgreSQL */
byte commits;               /* the row: the number of the last commit */
byte outcome[NAMES];
byte wrote[NAMES];          /* the commit of a name */
byte epoch;                 /* the gate */
bool isOpen = true;
byte running[EPOCHS];       /* statements that have passed the guard under an epoch, and are not over */

/* Permits: whether a replica may have heard of an epoch, and whether all permits for it have lapsed. */
bool heard[EPOCHS];
bool lapsed[EPOCHS];
byte newest;                /* the newest epoch that was ever made up */

/* Redis: the keys of each epoch */
typedef Memory {
  byte value;               /* the commit, plus 1; 0: none */
  byte lease;               /* whose; 0: nobody's */
  byte marks;               /* a bit for each name */
  bool open;
  bool opening
};
Memory redis[EPOCHS];
byte losses;

/* What clients have seen */
byte answered;              /* the newest commit that was acknowledged or read */
bool denied[NAMES];         /* somebody was told that this write has not happened */
byte flight;                /* JOIN: what a load of another reader has found */

#define MARK(name) (1 << (name))
#define PERMITTED(e) (heard[e] && !lapsed[e])
#ifdef RETRY
#define NAME (id == 1 -> 0 : id)
#else
#define NAME id
#endif

/* The rules; each may be left out by its name. */
#ifdef NOOPEN
#define USABLE(e) true
#else
#define USABLE(e) redis[e].open
#endif
#ifdef NOPENDING
#define UNMARKED(e) true
#else
#define UNMARKED(e) (redis[e].marks == 0)
#endif
#ifdef ANYFILL
#define MAYFILL(e) true
#else
#define MAYFILL(e) (redis[e].lease == token)
#endif
#ifdef REOPENSOON
#define MAYREOPEN true
#else
#define MAYREOPEN (isOpen || lapsed[epoch])
#endif
#ifdef NOTAKE
#define MAYTAKE(e) (!was || !redis[e].open)
#else
#define MAYTAKE(e) ((!was || !redis[e].open) && !redis[e].opening)
#endif
#ifdef NONONCE
#define MAYOPEN(e) true
#else
#define MAYOPEN(e) redis[e].opening
#endif
#if defined(NOSETTLE) || defined(EARLYEND)
#define MAYEND(name) (outcome[name] != RUNNING)
#else
#define MAYEND(name) (outcome[name] >= DONE)
#endif
#define OVER(mine, e) (mine == e || running[e] == 0)
#define ISMARKED(name) ((redis[0].marks | redis[1].marks | redis[EPOCHS - 1].marks) & MARK(name))

inline seen(commit) { if :: commit > answered -> answered = commit :: else fi }

inline pickPermit(e) {
  if
  :: PERMITTED(0) -> e = 0
  :: PERMITTED(1) -> e = 1
#if EPOCHS > 2
  :: PERMITTED(2) -> e = 2
#endif
  :: e = EPOCHS             /* has none */
  fi
}

proctype Reader(byte id) {
  byte e, began, found, token;
  byte reads;
  do
  :: reads < READS ->
     atomic { reads++; began = answered; token = id * READS + reads; found = 0; pickPermit(e) }
     bool lease = false, hit = false;
     if
     :: d_step { e < EPOCHS ->                                   /* script READ */
          if
          :: redis[e].value != 0 -> found = redis[e].value - 1; hit = true
          :: redis[e].value == 0 && redis[e].lease == 0 && USABLE(e) && UNMARKED(e) -> redis[e].lease = token; lease = true
          :: else
          fi }
     :: true                                                     /* no permit, or Redis does not answer */
     fi;
     if
     :: d_step { !hit -> found = commits; flight = commits + 1 }
#ifdef JOIN
     :: d_step { !hit && !lease && flight != 0 -> found = flight - 1 }
#endif
     :: hit
     fi;
     d_step { assert(found >= began); seen(found) }              /* fresh */
     if
     :: d_step { lease ->                                      /* script FILL, which may run late */
          if
          :: MAYFILL(e) -> redis[e].value = found + 1; redis[e].lease = 0;
#ifdef COHERENT
             assert(found == commits || !PERMITTED(e))
#endif
          :: else
          fi }
     :: true                                                     /* lost, or nothing to fill */
     fi;
     d_step { e = 0; began = 0; found = 0; token = 0; lease = false; hit = false; flight = 0 }
  :: break
  od
}

inline announce(e) {
  d_step {
#ifndef NODELV
    redis[e].value = 0;
#endif
#ifndef NODELL
    redis[e].lease = 0;
#endif
#ifndef NOMARK
    redis[e].marks = redis[e].marks | MARK(NAME)
#endif
  }
}

inline commit() {
  commits++; outcome[NAME] = DONE; wrote[NAME] = commits; running[e]--;
  assert(!denied[NAME]);                                         /* true */
#ifdef COHERENT
  assert(!PERMITTED(0) || redis[0].value == 0);
  assert(!PERMITTED(1) || redis[1].value == 0);
#if EPOCHS > 2
  assert(!PERMITTED(2) || redis[2].value == 0);
#endif
#endif
}

proctype Writer(byte id) {
  byte e;
  bool wants = true;                                             /* what the guard wants of the gate: open */
  atomic { pickPermit(e); if :: e == EPOCHS -> e = 0; goto unannounced :: else fi }
#ifndef LATE
  if
  :: announce(e)
  :: goto unannounced                                            /* no answer: it may be there, or come late */
  fi;
#endif
statement:
  if
  :: atomic { true ->                                            /* its snapshot, in which it looks at the gate */
#ifndef NOGUARD
       if :: epoch == e && isOpen == wants :: else -> goto failed fi;
#endif
       running[e]++ }
  :: goto gone
  fi;
  if                                                             /* waits while another statement keeps this name */
  :: atomic { outcome[NAME] == NONE -> outcome[NAME] = RUNNING }
  :: atomic { outcome[NAME] >= DONE -> running[e]--; goto taken }
  fi;
  if
  :: d_step { commit(); seen(commits) }                          /* and acknowledged */
  :: d_step { commit() }                                         /* and dead before the answer */
  :: d_step { outcome[NAME] = NONE; running[e]-- }; goto failed
  :: d_step { outcome[NAME] = NONE; running[e]-- }               /* and dead */
  fi;
#ifdef LATE
  if :: announce(e) :: true fi;
#endif
  goto gone;
unannounced:
#ifdef GATE
  if :: true :: goto failed fi;
  atomic { e = epoch; isOpen = false; wants = false }
#ifndef NOWAIT
  if :: lapsed[e] :: goto failed fi;
#endif
  goto statement;
#endif
failed:                                                          /* the name is settled before anybody is told */
  if
  :: atomic { outcome[NAME] == NONE ->
#ifndef NOREFUSE
       outcome[NAME] = REFUSED;
#endif
       denied[NAME] = true }
  :: outcome[NAME] >= DONE -> goto taken
  :: true                                                        /* PostgreSQL cannot be asked: 504 */
  fi;
  goto late;
taken: skip;
  d_step { if :: outcome[NAME] == DONE -> seen(wrote[NAME]) :: else -> denied[NAME] = true fi }
late: skip;
  if
  :: wants -> if :: announce(e) :: true fi
  :: else
  fi;
gone: skip;
  atomic { e = 0; wants = true }
}

/* END after a write, or by a reader that has met its marker for long. */
active proctype Settler() {
  byte name;
end:
  do
  :: atomic { name = 0; do :: name < NAMES - 1 -> name++ :: break od;
       if
#ifndef NOSETTLE
       :: ISMARKED(name) && outcome[name] == NONE -> outcome[name] = REFUSED
#endif
       :: MAYEND(name) ->
          if
          :: redis[0].marks & MARK(name) -> redis[0].marks = redis[0].marks & ~MARK(name)
          :: redis[1].marks & MARK(name) -> redis[1].marks = redis[1].marks & ~MARK(name)
#if EPOCHS > 2
          :: redis[2].marks & MARK(name) -> redis[2].marks = redis[2].marks & ~MARK(name)
#endif
          :: else
          fi
       :: else
       fi;
       name = 0 }
  od
}

/* Opens an empty memory under an open gate, or a gate that is closed: under a new epoch. */
proctype Opener(byte id) {
  byte tries, e, mine;
  bool was;
  do
  :: atomic { tries < TRIES && newest < EPOCHS - 1 && MAYREOPEN -> tries++; e = epoch; was = isOpen; newest++; mine = newest };
     if
     :: d_step { MAYTAKE(e) -> redis[mine].opening = true }      /* script TAKE */
     :: goto next                                                /* somebody else is at it, or Redis is away */
     fi;
     if
     :: d_step { epoch == e && isOpen == was -> epoch = mine; isOpen = true; heard[mine] = true }
     :: goto next
     fi;
#ifndef NOLOCK
     if                                                          /* every statement that ran then is over */
     :: OVER(mine, 0) && OVER(mine, 1) && OVER(mine, EPOCHS - 1)
     :: goto next
     fi;
#endif
     d_step {                                                    /* script OPEN */
       if
       :: MAYOPEN(mine) -> redis[mine].open = true; redis[mine].opening = false
       :: else
       fi }
next: skip;
     atomic { e = 0; mine = 0; was = false }
  :: break
  od
}

inline lose(e) {
  redis[e].value = 0; redis[e].lease = 0; redis[e].marks = 0; redis[e].open = false; redis[e].opening = false
}

active proctype Redis() {
end:
  do
  :: d_step { losses < LOSSES -> losses++; lose(0); lose(1);
#if EPOCHS > 2
       lose(2)
#endif
     }
  :: d_step { redis[0].value != 0 -> redis[0].value = 0 }
  :: d_step { redis[1].value != 0 -> redis[1].value = 0 }
  :: d_step { redis[0].lease != 0 -> redis[0].lease = 0 }
  :: d_step { redis[1].lease != 0 -> redis[1].lease = 0 }
  :: d_step { redis[0].opening -> redis[0].opening = false }     /* it expires when its opener gives no sign of life */
  :: d_step { redis[1].opening -> redis[1].opening = false }
#if EPOCHS > 2
  :: d_step { redis[2].opening -> redis[2].opening = false }
#endif
  od
}

#ifdef GATE
active proctype Clock() {                                        /* longer than any permit lasts, after it was closed */
end:
  do
  :: d_step { !isOpen && !lapsed[epoch] -> lapsed[epoch] = true }
  od
}
#endif

init {
  byte n;
  atomic {
    heard[0] = true;
#ifdef STARTOPEN
    redis[0].open = true;
#endif
    for (n : 0 .. WRITERS - 1) { run Writer(n) }
    for (n : 0 .. READERS - 1) { run Reader(n) }
    for (n : 0 .. OPENERS - 1) { run Opener(n) }
    n = 0
  }
}
