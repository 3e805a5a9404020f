/*
 * The lease protocol on one row: two lessees, and a network that loses, delays and repeats.
 * README.md beside this file says what is abstracted and names the Go function of each step.
 * `check` compiles this file once for each of its cases, with the -D options that it prints.
 */

/* ---- The instance. Times are ticks of a lessee's own clock. ---- */

#ifndef DUR
#define DUR 3      /* the lease duration */
#endif
#ifndef MARGIN
#define MARGIN 1   /* so long before the row's end the holder stops relying on it */
#endif
#ifndef SKEW
#define SKEW 2     /* the two clocks are never further apart: the margin + 1, see README.md */
#endif
#ifndef HORIZON
#define HORIZON 7  /* no clock goes further */
#endif
#ifndef TOKENS
#define TOKENS 3   /* no more tenures than this */
#endif
#ifndef LATES
#define LATES 1    /* so many requests whose sender has given up may still be under way */
#endif

/* ---- The conditions of the writes, and what the broken variants make of them. ---- */

#ifdef NO_EXPIRY
#define FREE(m) (row.until == 0)
#else
#define FREE(m) (row.until < m.now)
#endif

#ifdef LEASE_BACKWARDS
#define REPLACES(m) true
#else
#define REPLACES(m) (m.from && row.until == m.from && SEEN(m) || !m.from && row.until < m.until)
#endif

#ifdef SEEN_ANY_TOKEN
#define SEEN(m) true
#else
#define SEEN(m) (row.token == m.token)
#endif

#ifdef RENEW_ANY_TOKEN
#define RENEWS(m) true
#else
#define RENEWS(m) (row.token == m.token)
#endif

#ifdef RENEW_BACKWARDS
#define FORWARD(m) true
#else
#define FORWARD(m) NO_LATER(m)
#endif

#if defined(RELEASE_ANY_TOKEN)
#define RELEASES(m) NO_LATER(m)
#elif defined(RELEASE_ANY_END)
#define RELEASES(m) (row.token == m.token)
#else
#define RELEASES(m) (row.token == m.token && NO_LATER(m))
#endif

/* WEIGHS: ends have nanoseconds besides ticks, by which renewals that write a weight differ. */
#ifdef WEIGHS
#define NO_LATER(m) (row.until < m.until || row.until == m.until && row.nanos <= m.nanos)
#define WEIGHTS 2 /* so many renewals of a tenure of lessee 1 write one */
#else
#define NO_LATER(m) (row.until <= m.until)
#endif

#ifdef WEIGHT_ANY_END
#define LATER_BY 0
#else
#define LATER_BY 1
#endif

#ifdef ONE_NAME
#define NAME(i) 1        /* both processes carry the same LesseeID */
#else
#define NAME(i) (1 + i)
#endif
#define NOBODY 0

#include "probes.pml"
#define TAKEOVER 1             /* of another's lease that has ended */
#define RENEWED 2
#define RELEASED 3
#define RECOVERED 4            /* a lease whose reply was lost, by another write */
#define SECOND_TENURE 5        /* of the same lessee */
#define DUPLICATE_REFUSED 6    /* of a lease, while its sender holds the row */
#define LATE_REPLY 7           /* to a lease that is over by then */
#define GHOST_LEASE 8          /* a lease that is applied when its sender has given up */
#define TOLD_LOST 9            /* by a renewal, while the tenure seemed valid */
#define OLDER_RENEWAL 10       /* arrives when a later one was applied */
#define RELEASED_BEFORE 11     /* a release whose reply was lost */
#define SHORTENED 12           /* an own lease, deliberately */
#define CALM_SERVED 13         /* a lease after the faults have stopped */
#define CALM_WAITED 14         /* the same, after waiting for the end of a dead lessee's lease */
#define BOTH_VALID 15          /* ONE_NAME: two tenures seem valid, the older one's is a matter of its next renewal */
#define WRITE_REFUSED 16       /* by the guarded resource */
#define LATE_RELEASE_REFUSED 17 /* by the end that the original wrote */
#define STUCK_WRITES 19        /* work that hangs, when its item is given up, and nobody else has written since */
#define STUCK_REFUSED 20       /* the same, but somebody has */
#define STUCK_BESIDE 21        /* another has the item while it hangs */
#define WEIGHED 22             /* a second weight of a tenure */
#define WEIGHED_TWICE 23       /* to one end, but for the nanoseconds */
#define LATE_WEIGHT_REFUSED 24 /* by a later weight of the same tenure */
#define LATER_RENEWAL_THERE 18 /* is what a lessee's newest renewal is told: README.md says why it never is */

/* ---- State. What is marked ghost is read by assertions only. ---- */

#define nothing 0
mtype = { lease, renew, release, ok, own, refused };

typedef Row {
	byte holder;
	byte until;  /* 0: free */
	byte token;
#ifdef WEIGHS
	byte nanos;  /* of until */
	byte weight; /* which one of the tenure's it is; 0 for one of before */
#endif
	byte tenure  /* ghost: how many tenures there have been */
};
Row row;
byte greatest;   /* ghost: the greatest token of any tenure */

typedef Request {
	mtype kind;
	byte now;    /* lease: the sender's clock */
	byte until;  /* lease, renew; release: the furthest end that the tenure asked for */
	byte from;   /* lease: the end of the own lease that was seen; 0 for any that ends earlier */
	byte token;  /* renew, release; lease: of the own lease that was seen */
#ifdef WEIGHS
	byte nanos;  /* of until */
	byte weight; /* renew: which one of the tenure's it writes; 0 for none */
#endif
	byte tenure; /* ghost */
	byte sender
};

typedef Lessee {
	byte clock;
	byte end;       /* the tenure is valid while clock < end; 0 once it is over */
	byte token;     /* of the last tenure, also when it is over; 0 if none is remembered */
	byte asked;     /* the furthest end that it asked for */
#ifdef WEIGHS
	byte weighed;   /* the furthest end that it asked for with a weight */
	byte nanos;     /* of that */
	byte weights;   /* how many it has sent */
#endif
	byte tenure;    /* ghost */
	Request call;   /* the request under way; it may be applied any number of times, or never */
	mtype reply;    /* what came back for it */
	byte seen;      /* the token that the reply shows */
	byte seenEnd;   /* with own: the end */
	byte seenTenure /* ghost */
};
Lessee c[2];

Request late[LATES]; /* requests that nobody waits for any more */

#ifdef WRITES
byte accepted;       /* the guarded resource: the greatest token it accepted */
byte acceptedTenure; /* ghost */
#endif

#ifdef STUCK
byte stuckToken;     /* of lessee 1's work that hangs, and whose item was given up; 0 for none */
byte stuckTenure;    /* ghost */
#ifdef STUCK_UNGUARDED
#define TAKES_STUCK true
#else
#define TAKES_STUCK (stuckToken >= accepted)
#endif
#endif

#ifdef CALM
byte calm;     /* the faults have stopped and lessee 2 is dead; 2 when lessee 1 was served */
byte deadline; /* by which lessee 1 must be served, by its own clock */
bit tried;     /* in this tick */
bit waited;    /* ghost: a try was refused since */
#define alive(i) (!calm || calm == 1 && i == 0)
#define SPARE (calm -> 9 : 0)
#define MAYTRY (!calm || !c[0].end && !tried)
#define CALMTRY tried = calm
#define CALMTICK if :: me == 0 -> tried = 0 :: else fi
#else
#define calm 0
#ifdef ROLLBACK
#define alive(i) (!rolledBack || i == 1)
#else
#define alive(i) true
#endif
#define SPARE 0
#ifdef STUCK
#define MAYTRY (me == 1 || !stuckToken) /* not before the work has returned */
#else
#define MAYTRY true
#endif
#define CALMTRY skip
#define CALMTICK skip
#endif

#ifdef ROLLBACK
byte rolledBack; /* lessee 1's clock when it ended for good; 0 before */
byte original;   /* until when the original, in its place, relies on its lease, by the same clock; 0 for not at all */
#define UNDER_ORIGINAL(m) (original && m.sender == 0 && row.until == original)
#else
#define UNDER_ORIGINAL(m) false
#endif

/* A line of the story that `spin -t` tells of a counterexample. */
#define tell(i, what, n) printf(what); \
	printf(" %d; lessee %d, clocks %d %d, row: holder %d, until %d, token %d\n", \
		n, 1 + i, c[0].clock, c[1].clock, row.holder, row.until, row.token)

/* ---- The row: one conditional write. ---- */

#ifdef WEIGHS
inline writeWeight(m) {
	row.nanos = m.nanos;
	if
	:: m.weight ->
		assert(m.weight >= row.weight); /* no late renewal undoes a later weight */
		if
		:: m.weight > 1 -> reached(WEIGHED)
		:: else
		fi;
		row.weight = m.weight
	:: else
	fi
}
inline refuseWeight(m) {
	if
	:: m.weight && m.weight < row.weight -> reached(LATE_WEIGHT_REFUSED)
	:: else
	fi
}
#else
#define writeWeight(m) skip
#define refuseWeight(m) skip
#endif

/* What the reply says goes to result. */
inline apply(m) {
	if
	:: m.kind == lease && (FREE(m) || row.holder == NAME(m.sender) && REPLACES(m)) ->
		if
		:: row.until && row.holder != NAME(m.sender) -> reached(TAKEOVER)
		:: m.from > m.until -> reached(SHORTENED)
		:: else
		fi;
		assert(!UNDER_ORIGINAL(m)); /* no late request of ours touches the original's live lease */
		row.holder = NAME(m.sender); row.until = m.until; row.tenure++;
#ifdef WEIGHS
		row.nanos = 0; row.weight = 0;
#endif
#ifdef TOKEN_PER_HOLDER
		row.token = NAME(m.sender);
#else
		row.token++;
#endif
		tell(m.sender, "applied: lease", m.until);
		assert(row.token > greatest); /* each tenure's token exceeds all earlier ones */
		greatest = row.token;
		result = ok
	:: m.kind == renew && row.holder == NAME(m.sender) && RENEWS(m) && FORWARD(m) ->
		assert(!UNDER_ORIGINAL(m));
		row.until = m.until;
		tell(m.sender, "applied: renew", m.until);
		writeWeight(m);
		assert(m.tenure == row.tenure); /* only the newest tenure can be renewed */
		result = ok
	:: m.kind == renew && row.holder == NAME(m.sender) && RENEWS(m) && !FORWARD(m) ->
		assert(m.tenure == row.tenure);
		reached(OLDER_RENEWAL);
		refuseWeight(m);
		result = ok
	:: m.kind == release && row.holder == NAME(m.sender) && RELEASES(m) ->
		assert(!UNDER_ORIGINAL(m));
		row.holder = NOBODY; row.until = 0;
#ifdef RELEASE_DROPS_TOKEN
		row.token = 0;
#endif
		tell(m.sender, "applied: release", m.token);
		assert(m.tenure == row.tenure); /* only the newest tenure can be released */
		result = ok
	:: m.kind == release && row.holder == NOBODY && row.token == m.token ->
		reached(RELEASED_BEFORE);
		result = ok
	:: else ->
		tell(m.sender, "refused:", m.until);
		result = refused;
		if
		:: m.kind == lease && row.holder == NAME(m.sender) ->
			result = own
		:: else
		fi
	fi;
	/* No item is lost for good: whatever lies in the row ends within one duration. */
	assert(row.until <= c[0].clock + DUR || row.until <= c[1].clock + DUR);
#ifdef ONE_NAME
	/* A third lessee stays away from the newest tenure while that is valid. */
	assert(!c[0].end || c[0].tenure != row.tenure || row.until >= c[0].end + MARGIN);
	assert(!c[1].end || c[1].tenure != row.tenure || row.until >= c[1].end + MARGIN)
#endif
}

/*
 * Bounds the exploration: what would begin a tenure too many stays in the network. And the first
 * tenure is lessee 1's; the other case is the same with the names swapped.
 */
#define deliverable(m) (m.kind != nothing && \
	(m.kind != lease || row.token < TOKENS + SPARE && (row.token || m.sender == 0 || calm)))

#define me (_pid & 1)

/* An own row with the very end that was asked for is taken for the work of this call. */
#ifdef RECOGNISE
#define RECOGNISES (result == own && row.until == c[me].call.until)
#else
#define RECOGNISES false
#endif

/* ---- The network delivers a request early, late, more than once or never. ---- */

active [2] proctype Network() {
	mtype result = nothing;
end:
	do
	:: atomic { deliverable(c[me].call) && alive(me) && (!calm || !c[me].reply) ->
		d_step {
			apply(c[me].call);
			if
			:: c[me].call.kind == renew && result == ok && row.until > c[me].call.until -> reached(LATER_RENEWAL_THERE)
			:: else
			fi
		};
		if
		:: !c[me].reply -> d_step {
			if
			:: c[me].call.kind != lease -> c[me].reply = result
			:: c[me].call.kind == lease && (result == ok || RECOGNISES) ->
				c[me].reply = ok; c[me].seen = row.token; c[me].seenTenure = row.tenure
			:: c[me].call.kind == lease && result == own && !RECOGNISES && !c[me].call.from ->
				c[me].reply = own; c[me].seen = row.token; c[me].seenEnd = row.until
			:: else -> c[me].reply = refused
			fi }
		:: !calm /* the reply is lost, and the SDK may send the request again; or nobody waits for it */
		fi;
		result = nothing
	   }
	od
}

active [LATES] proctype Late() {
	mtype result = nothing;
#define it late[_pid - 2]
end:
	do
	:: d_step { deliverable(it) && calm != 2 ->
		apply(it);
		if
		:: it.kind == lease && result != ok && c[it.sender].end -> reached(DUPLICATE_REFUSED)
#ifdef ROLLBACK
		:: it.kind == release && result != ok && original && row.token == it.token -> reached(LATE_RELEASE_REFUSED)
#endif
		:: it.kind == lease && result == ok && !c[it.sender].call.kind -> reached(GHOST_LEASE)
		:: else
		fi;
		result = nothing
	   }
	od
}

/* ---- The lessees. A pause needs no step: anybody may take none for any time. ---- */

inline keep(i, slot) {
	tell(i, "(the network keeps it)", 0);
	slot.kind = c[i].call.kind; slot.now = c[i].call.now; slot.until = c[i].call.until;
	slot.from = c[i].call.from; slot.token = c[i].call.token; slot.tenure = c[i].call.tenure;
	slot.sender = i;
#ifdef WEIGHS
	slot.nanos = c[i].call.nanos; slot.weight = c[i].call.weight
#endif
}

/* Nobody waits for the call any more. The network may still have it; what it had before is gone then. */
inline leaveToNetwork(i) {
	if
	:: d_step { true -> keep(i, late[0]) }
#if LATES > 1
	:: d_step { late[0].kind != nothing -> keep(i, late[1]) }
#endif
	:: late[0].kind != nothing
	fi
}

inline clearReply(i) {
	c[i].reply = nothing; c[i].seen = 0; c[i].seenEnd = 0; c[i].seenTenure = 0
}

inline hangUp(i) {
	leaveToNetwork(i);
	d_step {
		c[i].call.kind = nothing; c[i].call.now = 0; c[i].call.until = 0;
		c[i].call.from = 0; c[i].call.token = 0; c[i].call.tenure = 0;
#ifdef WEIGHS
		c[i].call.nanos = 0; c[i].call.weight = 0;
#endif
		clearReply(i)
	}
}

inline forgetWeights(i) {
#ifdef WEIGHS
	c[i].weighed = 0; c[i].nanos = 0; c[i].weights = 0
#else
	skip
#endif
}

inline forget(i) {
	c[i].end = 0; c[i].token = 0; c[i].asked = 0; c[i].tenure = 0;
	forgetWeights(i)
}

inline sendLease(i, duration) {
	if
	:: duration < DUR -> forget(i) /* a lessee that shortens its lease relies on the longer one no more */
	:: else
	fi;
	CALMTRY;
	c[i].call.kind = lease; c[i].call.now = c[i].clock; c[i].call.until = c[i].clock + duration;
	c[i].call.sender = i;
	tell(i, "sends lease", c[i].call.until)
}

inline sendUpdate(i, what) {
	c[i].call.kind = what; c[i].call.until = c[i].asked;
	c[i].call.token = c[i].token; c[i].call.tenure = c[i].tenure;
	c[i].call.sender = i;
#ifdef WEIGHS
	if
	:: what == release && c[i].weighed == c[i].asked -> c[i].call.nanos = c[i].nanos
	:: else
	fi
#endif
}

#ifdef WEIGHS
/* The renewal that is sent writes a weight. If one before asks for its very end, it is a nanosecond later. */
inline weigh(i) {
	if
	:: c[i].weighed == c[i].asked ->
		reached(WEIGHED_TWICE);
		c[i].nanos = c[i].nanos + LATER_BY
	:: else -> c[i].nanos = 0
	fi;
	c[i].weighed = c[i].asked;
	c[i].weights++;
	c[i].call.nanos = c[i].nanos;
	c[i].call.weight = c[i].weights
}
#endif

/* The end of the tenure that a lease or renewal promises. */
#ifdef START_AT_REPLY
#define promised(i) (c[i].clock + DUR - MARGIN)
#else
#define promised(i) (c[i].call.until - MARGIN)
#endif

inline obtained(i) {
	if
	:: late[0].kind == release && late[0].sender == i -> reached(SECOND_TENURE)
	:: else
	fi;
	if
	:: c[i].call.from == c[i].call.until -> reached(RECOVERED)
	:: else
	fi;
	c[i].token = c[i].seen; c[i].asked = c[i].call.until; c[i].tenure = c[i].seenTenure;
	forgetWeights(i);
	if
	:: c[i].clock < promised(i) -> c[i].end = promised(i)
	:: else -> reached(LATE_REPLY)
	fi;
#ifdef ONE_NAME
	assert(c[i].tenure != c[1 - i].tenure); /* no two processes share a tenure */
	if
	:: c[0].end && c[1].end -> reached(BOTH_VALID)
	:: else
	fi
#else
	assert(!c[0].end || !c[1].end)          /* mutual exclusion */
#endif
}

inline extended(i) {
	if
#ifdef REVIVE
	:: c[i].clock < promised(i) && promised(i) > c[i].end ->
#else
	:: c[i].end && c[i].clock < promised(i) && promised(i) > c[i].end ->
#endif
		reached(RENEWED);
		c[i].end = promised(i);
#ifndef ONE_NAME
		assert(!c[0].end || !c[1].end)
#endif
	:: else
	fi
}

active [2] proctype Step() {
end:
	do
	/* Lease anew. Until the reply comes this lessee relies on the tenure that it has. */
	:: d_step { !c[me].call.kind && c[me].clock && alive(me) && MAYTRY ->
		sendLease(me, DUR)
	   }
#ifdef LOWER
	:: d_step { !c[me].call.kind && c[me].clock && me == 0 ->
		sendLease(me, DUR - 1)
	   }
#endif
	/* Heartbeat: only while the tenure is valid. */
	:: d_step { !c[me].call.kind && c[me].end && !calm ->
		c[me].asked = c[me].clock + DUR;
		sendUpdate(me, renew);
		tell(me, "sends renew", c[me].call.until)
	   }
#ifdef WEIGHS
	:: d_step { !c[me].call.kind && c[me].end && me == 0 && c[me].weights < WEIGHTS ->
		c[me].asked = c[me].clock + DUR;
		sendUpdate(me, renew);
		weigh(me);
		tell(me, "sends renew, with a weight", c[me].call.until)
	   }
#endif
	/* Release: the tenure ends before the request is sent. One that is over may be released too. */
	:: d_step { !c[me].call.kind && c[me].token && !calm ->
#ifndef RELEASE_STAYS_VALID
		c[me].end = 0;
#endif
		sendUpdate(me, release);
		tell(me, "sends release", c[me].token)
	   }
	/* The caller gives up waiting. */
	:: atomic { c[me].call.kind && !calm ->
		tell(me, "gives up", 0);
		hangUp(me)
	   }
	/* The process crashes. It restarts with the same name and clock, and knows nothing. */
	:: atomic { c[me].call.kind && c[me].token && !calm ->
		tell(me, "crashes", 0);
		forget(me);
		hangUp(me)
	   }
	:: d_step { !c[me].call.kind && c[me].token && !calm ->
		tell(me, "crashes", 0);
		forget(me)
	   }
	/* The reply arrives. */
	:: atomic { c[me].reply && alive(me) ->
		tell(me, "gets a reply", c[me].seen);
		if
		/* It leases what the refusal has shown, this once. */
		:: c[me].call.kind == lease && c[me].reply == own ->
			leaveToNetwork(me);
			d_step {
				c[me].call.from = c[me].seenEnd; c[me].call.token = c[me].seen; clearReply(me);
				tell(me, "sends lease, from", c[me].call.from)
			}
		:: else ->
			d_step {
			if
			:: c[me].call.kind == lease && c[me].reply == ok -> obtained(me)
			:: c[me].call.kind == renew && c[me].reply == ok -> extended(me)
			:: c[me].call.kind == renew && c[me].reply == refused ->
				if
				:: c[me].end -> reached(TOLD_LOST)
				:: else
				fi;
				c[me].end = 0
			:: c[me].call.kind == release ->
				if
				:: c[me].reply == ok -> reached(RELEASED)
				:: else
				fi;
				forget(me)
			:: else
			fi
#ifdef CALM
			;
			if
			:: calm && c[me].end ->
				reached(CALM_SERVED);
				if
				:: waited -> reached(CALM_WAITED)
				:: else
				fi;
				calm = 2
			:: calm && !c[me].end -> waited = 1
			:: else
			fi
#endif
			};
			hangUp(me)
		fi
	   }
#ifdef STUCK
	/* Lessee 1's work is stuck: the tenure ends, and the row is released, while the work hangs. */
	:: d_step { me == 0 && !c[0].call.kind && c[0].end && !stuckToken ->
		stuckToken = c[0].token; stuckTenure = c[0].tenure;
#ifndef STUCK_STAYS_VALID
		c[0].end = 0;
#endif
		sendUpdate(0, release);
		tell(0, "is stuck, and sends release", c[0].token)
	   }
	/* It goes on at last, and writes. */
	:: d_step { me == 0 && stuckToken && TAKES_STUCK ->
		tell(0, "was stuck, and writes", stuckToken);
		assert(stuckTenure >= acceptedTenure); /* not when a newer tenure's work has written */
		reached(STUCK_WRITES);
		accepted = stuckToken; acceptedTenure = stuckTenure
	   }
	:: d_step { me == 0 && stuckToken -> stuckToken = 0; stuckTenure = 0 }
#ifdef PROBES
	:: d_step { me == 0 && stuckToken && stuckToken < accepted -> reached(STUCK_REFUSED) }
	:: d_step { me == 1 && stuckToken && c[1].end -> reached(STUCK_BESIDE) }
#endif
#endif
#ifdef WRITES
	/* It writes to the guarded resource, perhaps long after it asked whether the tenure is valid. */
	:: d_step { c[me].token && c[me].token > accepted ->
		tell(me, "writes", c[me].token);
		assert(c[me].tenure > acceptedTenure); /* no older tenure's write after a newer one's */
		accepted = c[me].token; acceptedTenure = c[me].tenure
	   }
	:: d_step { c[me].token && c[me].token == accepted && c[me].tenure != acceptedTenure ->
		assert(false)
	   }
#ifdef PROBES
	:: d_step { c[me].token && c[me].token < accepted -> reached(WRITE_REFUSED) }
#endif
#endif
	od
}

/* ---- The clocks never go back and are never more than SKEW apart. ---- */

#ifdef CALM
/* Once the faults have stopped, lessee 1 makes one try in each tick, and has its reply within it. */
#define CALM_BY (HORIZON - DUR - 2)
#define mayTick(i) (!calm && c[i].clock < CALM_BY || calm == 1 && (i == 1 || tried && !c[0].call.kind))
#else
#define mayTick(i) true
#endif

active [2] proctype Clock() {
end:
	do
	:: d_step { c[me].clock < HORIZON && c[me].clock < c[1 - me].clock + SKEW && mayTick(me) ->
#ifdef CALM
		assert(calm != 1 || me == 1 || c[0].clock < deadline); /* served in time */
#endif
		c[me].clock++;
		CALMTICK;
		if
		:: c[me].end && c[me].clock >= c[me].end -> c[me].end = 0
		:: else
		fi
#ifdef ROLLBACK
		;
		if
		:: original && c[0].clock > original -> original = 0
		:: else
		fi
#endif
	   }
	od
}

#ifdef CALM
/* At any moment: lessee 2 dies for good, and the network becomes reliable but for what it has already. */
active proctype Weather() {
end:
	d_step { c[0].clock && !c[0].end ->
		calm = 1;
		deadline = (c[0].clock > c[1].clock -> c[0].clock : c[1].clock) + DUR + 1;
		tell(0, "calm; deadline", deadline);
		c[1].end = 0
	};
stuck:
	timeout -> assert(calm == 2) /* nothing but having been served stops lessee 1 and its clock */
}
#endif

#ifdef ROLLBACK
/*
 * Lessee 1 is replaced by a worker of the original library, which has the same name and host, and no
 * faults. A restart takes a tick.
 */
active proctype Original() {
end:
	atomic { c[0].clock ->
		tell(0, "is rolled back", 0);
		rolledBack = c[0].clock;
		forget(0);
		if
		:: c[0].call.kind -> hangUp(0)
		:: else
		fi
	};
endWorking:
	do
	:: d_step { c[0].clock > rolledBack && row.token && original != c[0].clock + DUR &&
			(row.until < c[0].clock || row.holder == NAME(0)) ->
		row.holder = NAME(0); row.until = c[0].clock + DUR; original = row.until;
		tell(0, "original leases", row.until);
		assert(!c[1].end) /* it takes the row from nobody */
	   }
	:: d_step { original -> tell(0, "original dies", 0); original = 0 }
	od
}
#endif
