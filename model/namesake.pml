/*
 * Two processes of one name on one row, and a third party: when may a Locker lease its own live row anew?
 * README.md beside this file says what is abstracted and names the Go function of each step.
 * `check` compiles this file once for each of its cases, with the -D options that it prints.
 */

/* ---- The instance. Times are ticks of a party's own clock. ---- */

#ifndef DUR
#define DUR 1      /* the lease duration */
#endif
#ifndef MARGIN
#define MARGIN 0   /* so long before the row's end the holder stops relying on it */
#endif
#ifndef SKEW
#define SKEW 1     /* no two clocks are further apart: the margin + 1, see README.md */
#endif
#ifndef WISH
#define WISH 1     /* a wish's longest time */
#endif
#ifndef HORIZON
#define HORIZON 4  /* no clock goes further; all times fit into 4 bits */
#endif
#ifndef TOKENS
#define TOKENS 3   /* no more tenures than this */
#endif

#define NOBODY 0
#define OURS 1     /* the name of both processes */
#define THEIRS 2

/* ---- The rules, and what the broken variants make of them. ---- */

/* An own live row is leased only bound to the end and the token that were seen. */
#ifdef NOT_BOUND
#define MATCHES(m) (row.until < m.until || row.until == m.from && row.token == m.token)
#else
#define MATCHES(m) (row.until == m.from && row.token == m.token)
#endif

/* What is written is the later of the own end and the one that was seen. */
#ifdef MAY_SHORTEN
#define WRITTEN(mine, seen) mine
#else
#define WRITTEN(mine, seen) later(mine, seen)
#endif

/* The tenure remembers the end that was seen; if its process left the row so, what was remembered before. */
#if defined(NEW_LOCKER)
#define KEPT(i, ends, t) ends
#elif defined(OWN_FORGETS)
#define KEPT(i, ends, t) (t == c[i].token && ends == c[i].asked -> 0 : ends)
#else
#define KEPT(i, ends, t) (t == c[i].token && ends == c[i].asked -> c[i].older : ends)
#endif
#if defined(REMEMBERS_NOTHING)
#define REMEMBERED(i, ends, t) 0
#elif defined(RESERVED_EXCEPTED)
#define REMEMBERED(i, ends, t) (row.wantedBy == OURS && row.wantedUntil >= clock[i] -> 0 : KEPT(i, ends, t))
#else
#define REMEMBERED(i, ends, t) KEPT(i, ends, t)
#endif

/* Until the remembered end a release writes that end, and there is no handover. (The code writes it later, too.) */
#ifdef RELEASE_FREES
#define RELEASED(i) 0
#else
#define RELEASED(i) (clock[i] <= c[i].older -> c[i].older : 0)
#endif
#ifdef HANDS_OVER_EARLY
#define MAYHAND(i) true
#else
#define MAYHAND(i) (clock[i] > c[i].older)
#endif

/* A release or handover is for a row as the tenure may have left it. */
#ifdef RELEASE_ANY_END
#define OWN(m) (row.holder == OURS && row.token == m.token)
#else
#define OWN(m) (row.holder == OURS && row.token == m.token && row.until <= m.from)
#endif

/* A lease that was given up, and obtained all the same, is remembered as any is. */
#ifdef GIVEN_UP_FORGETS
#define GAVE_OLDER(m) 0
#else
#define GAVE_OLDER(m) m.older
#endif

/* It counts from its start. */
#ifdef COUNTS_FROM_REPLY
#define COUNTED(i) promised(clock[i] + DUR)
#else
#define COUNTED(i) promised(c[i].gaveNow + DUR)
#endif

#include "probes.pml"
#define TAKEN_OVER 1       /* by the third party, after the end */
#define LEASED_LIVE 2      /* an own row whose end is still to come */
#define OWN_RECOGNISED 3   /* by the process whose tenure left it so */
#define BOTH_VALID 4       /* two tenures of one name */
#define BOUND_AGAIN 5      /* a lease, to what its refusal has shown */
#define HELD_BACK 6        /* a release that wrote the remembered end */
#define GHOST_LEASE 7      /* a lease that is applied when its sender has given up */
#define HANDED_OVER 8
#define HANDED_TO_ONE 9    /* a live row is leased by the name that it was handed over to */
#define BESIDE_ORIGINAL 10 /* a tenure of ours begins while the original before it is alive */
#define LATE_REFUSED 11    /* a release, by the end that the original wrote */
#define GIVEN_BACK 12      /* a lease that was given up is released when its reply comes */
#define COUNTED_LATE 13    /* such a one is relied on */
#define BOUND_LATE 14      /* such a one is bound to what its refusal has shown */

/* ---- State ---- */

#define nothing 0
mtype = { lease, renew, release, handover, ok, own, refused };

typedef Row {
	unsigned holder : 2;
	unsigned until : 4;       /* 0: free */
	unsigned token : 3;
	unsigned wantedBy : 2;
	unsigned wantedUntil : 4
};
Row row;

typedef Request {
	mtype kind;
	unsigned now : 4;         /* lease, handover: the sender's clock */
	unsigned until : 4;       /* the end that it writes */
	unsigned from : 4;        /* lease: the end of the own live row that was seen, or 0; else the furthest end asked for */
	unsigned token : 3;       /* lease: that row's; else the tenure's */
	unsigned older : 4        /* lease: what the tenure is to remember */
#ifdef WATCHED
	;
	bit givenUp;              /* lease: its sender does not wait, but hears of it */
	bit sender
#endif
};

typedef Process {
	unsigned end : 4;         /* the tenure is valid while clock < end; 0 once it is over */
	unsigned token : 3;       /* of the last tenure, also when it is over; 0 if none is remembered */
	unsigned asked : 4;       /* the furthest end that it asked for */
	unsigned older : 4;       /* until when an older process of the name may rely on the item; 0: there is none */
	Request call;             /* the request under way; it may be applied any number of times, or never */
	mtype reply;              /* what came back for it */
	unsigned seen : 3;        /* the token that the reply shows */
	unsigned seenEnd : 4      /* with own: the end */
#ifdef WATCHED
	;
	unsigned gave : 3;        /* the token that a lease has obtained which was given up; its reply is under way. 0: none */
	unsigned gaveNow : 4;     /* when it was sent */
	unsigned gaveEnd : 4;     /* the end that it asked for */
	unsigned gaveOlder : 4    /* what it remembers */
#endif
};
Process c[2];

Request late;                 /* a request that nobody waits for any more */

/* The third party. And the end of the lease of an original with our name. */
unsigned theirEnd : 4;
unsigned theirToken : 3;
unsigned originalEnd : 4;

byte clock[3];
#define their 2
#define later(a, b) (a > b -> a : b)
#define latest later(clock[0], later(clock[1], clock[2]))
#define allPast(t) (t < clock[0] && t < clock[1] && t < clock[2])

#define promised(until) (until - MARGIN)

/* A line of the story that `spin -t` tells of a counterexample. */
#define tell(who, what) printf(who); printf(what); \
	printf("; clocks %d %d %d, row: holder %d, until %d, token %d, wish %d until %d; ", \
		clock[0], clock[1], clock[2], row.holder, row.until, row.token, row.wantedBy, row.wantedUntil); \
	printf("valid until %d %d, third party %d, original %d; remembered %d %d\n", \
		c[0].end, c[1].end, theirEnd, originalEnd, c[0].older, c[1].older)
#define tellOf(i, what) printf("process %d ", 1 + i); tell("", what)

/*
 * ---- What can have no effect any more is cleared, so that there are fewer states. ----
 * Clocks don't go back. Nor do tokens: a write that names an older one is refused for good. So is one for a
 * row that isn't ours now: only the original can make it ours again with the same token. EVERY_STATE clears
 * nothing, to check this.
 */

#ifdef ORIGINAL
#define dead(t) (t < row.token)
#else
#define dead(t) (t < row.token || row.holder != OURS)
#endif

inline dropLate() {
	late.kind = nothing; late.now = 0; late.until = 0; late.from = 0; late.token = 0
#ifdef WATCHED
	;
	late.older = 0; late.givenUp = 0; late.sender = 0
#endif
}

#ifdef WATCHED
inline forgetGiven(i) {
	c[i].gave = 0; c[i].gaveNow = 0; c[i].gaveEnd = 0; c[i].gaveOlder = 0
}

inline noteGiven(i, number, m) {
	c[i].gave = number; c[i].gaveNow = m.now; c[i].gaveEnd = m.until; c[i].gaveOlder = GAVE_OLDER(m)
}

/* The reply to a lease that was given up comes: it is the last tenure now, and any before is over. */
inline hearGiven(i) {
	c[i].token = c[i].gave; c[i].asked = c[i].gaveEnd; c[i].older = c[i].gaveOlder; c[i].end = 0
}
#endif

#ifdef EVERY_STATE
inline settle() {
	skip
}
#else
inline settle() {
	if
	:: late.kind && late.kind != lease && dead(late.token) ->
		dropLate()
	:: late.kind == lease && dead(late.token) -> late.from = 0; late.token = 0
	:: else
	fi;
	if
	:: allPast(row.wantedUntil) && late.kind != handover && c[0].call.kind != handover && c[1].call.kind != handover ->
		dropWish()
	:: else
	fi;
	if
	:: !theirEnd && theirToken < row.token -> theirToken = 0
	:: else
	fi;
	settleProcess(0);
	settleProcess(1)
}

inline settleProcess(i) {
	if
	:: dead(c[i].token) -> c[i].token = 0; c[i].asked = 0; c[i].older = 0
	:: else
	fi;
	if
	:: c[i].call.kind && dead(c[i].call.token) && c[i].reply != ok ->
		c[i].call.from = 0; c[i].call.token = 0;
		if
		:: c[i].call.kind != lease -> c[i].call.now = 0; c[i].call.until = 0
		:: else
		fi
	:: else
	fi;
#ifdef WATCHED
	if
	:: c[i].gave && dead(c[i].gave) -> forgetGiven(i)
	:: else
	fi;
	if
	:: c[i].gaveOlder < clock[i] -> c[i].gaveOlder = 0
	:: else
	fi;
	if
	:: late.older < clock[late.sender] -> late.older = 0
	:: else
	fi;
#endif
	if
	:: c[i].older < clock[i] -> c[i].older = 0
	:: else
	fi;
	if
	:: c[i].call.older < clock[i] -> c[i].call.older = 0
	:: else
	fi
}
#endif

/* ---- The row: one conditional write. ---- */

/* Mutual exclusion: as long as anybody of our name relies on the item, the third party does not. */
#define exclusive assert(!theirEnd || !c[0].end && !c[1].end && !originalEnd)

inline dropWish() {
	row.wantedBy = NOBODY; row.wantedUntil = 0
}

/* No item is lost for good: whatever lies in the row ends within one duration. */
inline endsSoon() {
	assert(row.until <= latest + later(DUR, WISH))
}

/* The row is handed over to whoever wishes for it. The wish stays. */
#define wished(at) (row.wantedBy && row.wantedUntil >= at)
inline reserve(at) {
	row.holder = row.wantedBy; row.until = later(row.wantedUntil, at + 1);
	reached(HANDED_OVER);
	endsSoon()
}

mtype result; /* what the reply says; nothing between steps */

/* Bounds the exploration: what would begin a tenure too many has no effect. */
#define takes(m) (row.until < m.now || row.holder == OURS && MATCHES(m))
inline apply(m) {
	result = refused;
	if
	:: m.kind == lease && row.token < TOKENS && takes(m) ->
		if
		:: row.until >= m.now -> reached(LEASED_LIVE)
		:: else
		fi;
		row.holder = OURS; row.until = m.until; row.token++; dropWish();
		result = ok;
		tell("  applied:", " lease")
	:: m.kind == lease && row.token < TOKENS && !takes(m) && row.holder == OURS ->
		result = own;
		tell("  refused:", " lease")
	:: m.kind == renew && row.holder == OURS && row.token == m.token ->
		if
		:: row.until <= m.until -> row.until = m.until
		:: else /* the row has a later end already */
		fi;
		result = ok;
		tell("  applied:", " renewal")
	:: m.kind == release && OWN(m) ->
		row.holder = NOBODY; row.until = m.until; dropWish();
		if
		:: m.until -> reached(HELD_BACK)
		:: else
		fi;
		result = ok;
		tell("  applied:", " release")
	:: m.kind == handover && OWN(m) && wished(m.now) ->
		reserve(m.now);
		result = ok;
		tell("  applied:", " handover")
	:: else
	fi;
	endsSoon()
}

active proctype Late() {
end:
	do
	:: d_step { late.kind ->
		apply(late);
		if
		:: late.kind == lease && result == ok -> reached(GHOST_LEASE)
		:: late.kind == release && result == refused && originalEnd && row.token == late.token -> reached(LATE_REFUSED)
		:: else
		fi;
		result = nothing;
		settle()
	   }
#ifdef WATCHED
	/* The same, and the reply is under way to who has given up. */
	:: d_step { late.kind == lease && late.givenUp && !c[late.sender].gave ->
		apply(late);
		if
		:: result == ok -> noteGiven(late.sender, row.token, late); dropLate()
		/* It goes on with what the refusal shows. */
		:: result == own ->
			late.from = row.until; late.token = row.token;
			late.until = WRITTEN(late.now + DUR, row.until);
			late.older = row.until;
			reached(BOUND_LATE)
		:: else
		fi;
		result = nothing;
		settle()
	   }
#endif
	od
}

/* ---- The two processes. A pause needs no step: anybody may take none for any time. ---- */

/* The first tenure is process 1's: the other runs are the same with the two swapped, if they are alike. */
#ifdef ORIGINAL
#define mayBeFirst(i) true
#else
#define mayBeFirst(i) (i == 0)
#endif

inline forget(i) {
	c[i].end = 0; c[i].token = 0; c[i].asked = 0; c[i].older = 0
}

inline clearReply(i) {
	c[i].reply = nothing; c[i].seen = 0; c[i].seenEnd = 0
}

inline hangUp(i) {
	c[i].call.kind = nothing; c[i].call.now = 0; c[i].call.until = 0;
	c[i].call.from = 0; c[i].call.token = 0; c[i].call.older = 0;
	clearReply(i)
}

inline keep(i) {
	late.kind = c[i].call.kind; late.now = c[i].call.now; late.until = c[i].call.until;
	late.from = c[i].call.from; late.token = c[i].call.token
#ifdef WATCHED
	;
	late.older = 0; late.givenUp = (c[i].call.kind == lease); late.sender = i;
	if
	:: late.givenUp -> late.older = c[i].call.older
	:: else
	fi
#endif
}

/* The row was seen to be its own and live. */
inline bind(i, ends, number) {
	c[i].call.from = ends; c[i].call.token = number;
	c[i].call.until = WRITTEN(c[i].call.now + DUR, ends);
	c[i].call.older = REMEMBERED(i, ends, number);
	if
	:: number == c[i].token && ends == c[i].asked -> reached(OWN_RECOGNISED)
	:: else
	fi
}

inline sendUpdate(i, what, ends) {
	c[i].call.kind = what; c[i].call.until = ends;
	c[i].call.from = c[i].asked; c[i].call.token = c[i].token
}

inline relyUntil(i, ends) {
	c[i].end = (clock[i] < ends -> ends : 0);
	exclusive
}

inline obtained(i) {
	c[i].token = c[i].seen; c[i].asked = c[i].call.until; c[i].older = c[i].call.older;
	relyUntil(i, promised(c[i].call.now + DUR)); /* on its own end only, whatever the row says */
	if
	:: c[0].end && c[1].end -> reached(BOTH_VALID)
	:: else
	fi;
	if
	:: c[i].end && originalEnd -> reached(BESIDE_ORIGINAL)
	:: else
	fi
}

active [2] proctype Step() {
#define me (_pid - 1)
end:
	do
	/* It has seen a row to be had and leases it. Until the reply comes it relies on the tenure that it has. */
	:: d_step { !c[me].call.kind && clock[me] && row.token < TOKENS && (row.token || mayBeFirst(me)) &&
			(row.until < clock[me] || row.holder == OURS) ->
		c[me].call.kind = lease; c[me].call.now = clock[me]; c[me].call.until = clock[me] + DUR;
		if
		:: row.until >= clock[me] -> bind(me, row.until, row.token)
		:: else
		fi;
		settle();
		tellOf(me, "sends lease")
	   }
	/* Heartbeat: only while the tenure is valid. */
	:: d_step { !c[me].call.kind && c[me].end ->
		c[me].asked = later(c[me].asked, clock[me] + DUR);
		sendUpdate(me, renew, clock[me] + DUR);
		settle();
		tellOf(me, "sends renewal")
	   }
	/* Release: the tenure ends before the request is sent. One that is over may be released too. */
	:: d_step { !c[me].call.kind && c[me].token ->
		c[me].end = 0;
		sendUpdate(me, release, 0); c[me].call.until = RELEASED(me);
		settle();
		tellOf(me, "sends release")
	   }
	/* Handover: likewise. */
	:: d_step { !c[me].call.kind && c[me].token && row.wantedBy && MAYHAND(me) ->
		c[me].end = 0;
		sendUpdate(me, handover, 0); c[me].call.now = clock[me];
		settle();
		tellOf(me, "sends handover")
	   }
	/* The network delivers the request. The reply comes, or it is lost and the SDK may send the request again. */
	:: d_step { c[me].call.kind && !c[me].reply ->
		apply(c[me].call);
		c[me].reply = result;
		if
		:: result == ok && c[me].call.kind == lease -> c[me].seen = row.token
		:: result == own -> c[me].seen = row.token; c[me].seenEnd = row.until
		:: else
		fi;
		result = nothing;
		settle()
	   }
	:: d_step { c[me].call.kind ->
		apply(c[me].call);
		result = nothing;
		settle()
	   }
	/* The reply arrives. */
	:: d_step { c[me].reply ->
		if
		/* It leases what the refusal has shown. The code does so once, the model without end. */
		:: c[me].call.kind == lease && c[me].reply == own ->
			reached(BOUND_AGAIN);
			bind(me, c[me].seenEnd, c[me].seen);
			clearReply(me)
		:: c[me].call.kind == lease && c[me].reply == ok ->
			obtained(me);
			hangUp(me)
		:: c[me].call.kind == renew && c[me].reply == ok ->
			if
			:: c[me].end && promised(c[me].call.until) > c[me].end -> relyUntil(me, promised(c[me].call.until))
			:: else
			fi;
			hangUp(me)
		:: c[me].call.kind == renew && c[me].reply == refused ->
			c[me].end = 0;
			hangUp(me)
		:: c[me].call.kind == release || c[me].call.kind == handover && c[me].reply == ok ->
			forget(me);
			hangUp(me)
		:: else -> /* a refused handover may be followed by a release */
			hangUp(me)
		fi;
		settle();
		tellOf(me, "has its reply")
	   }
	/* The caller gives up waiting. The network may keep the request; what it had before is gone then. */
	:: d_step { c[me].call.kind ->
		keep(me); hangUp(me); settle();
		tellOf(me, "gives up; the network keeps it")
	   }
	:: d_step { c[me].call.kind ->
		hangUp(me); settle();
		tellOf(me, "gives up")
	   }
#ifdef WATCHED
	/* The reply was under way. */
	:: d_step { c[me].call.kind == lease && c[me].reply == ok && !c[me].gave ->
		noteGiven(me, c[me].seen, c[me].call);
		hangUp(me); settle();
		tellOf(me, "gives up what it has")
	   }
	/* The reply to what it gave up comes after all. The lease is released (by the step above), or it counts. */
#ifdef OLDER_STAYS_VALID
	:: d_step { c[me].gave && c[me].gave > c[me].token ->
		late.kind = release; late.token = c[me].gave; late.from = c[me].gaveEnd;
		late.until = (clock[me] <= c[me].gaveOlder -> c[me].gaveOlder : 0);
		forgetGiven(me);
		tellOf(me, "releases what it gave up")
	   }
#else
	:: d_step { c[me].gave && c[me].gave > c[me].token ->
		hearGiven(me);
		forgetGiven(me); reached(GIVEN_BACK);
		settle();
		tellOf(me, "is to release what it gave up")
	   }
#endif
	:: d_step { c[me].gave && c[me].gave > c[me].token ->
		hearGiven(me); relyUntil(me, COUNTED(me));
		if
		:: c[me].end -> reached(COUNTED_LATE)
		:: else
		fi;
		forgetGiven(me);
		settle();
		tellOf(me, "counts what it gave up")
	   }
#endif
	/* The process crashes. It restarts with the same name and clock, and knows nothing. */
	:: d_step { c[me].token || c[me].end || c[me].call.kind ->
		forget(me); hangUp(me);
#ifdef WATCHED
		forgetGiven(me);
		if
		:: late.sender == me -> late.givenUp = 0; late.older = 0; late.sender = 0
		:: else
		fi;
#endif
		settle();
		tellOf(me, "crashes")
	   }
	od
#undef me
}

/* ---- The clocks never go back and are never more than SKEW apart. ---- */

inline expire(tenure, i) {
	if
	:: tenure && clock[i] >= tenure -> tenure = 0
	:: else
	fi
}

active [3] proctype Clock() {
#define me (_pid - 3)
end:
	do
	:: d_step { clock[me] < HORIZON &&
			clock[me] < clock[0] + SKEW && clock[me] < clock[1] + SKEW && clock[me] < clock[2] + SKEW ->
		clock[me]++;
		if
		:: me < 2 -> expire(c[me].end, me)
		:: else -> expire(theirEnd, their)
		fi;
		if
		:: me == 0 -> expire(originalEnd, 0)
		:: else
		fi;
		settle();
		tell("tick", "")
	   }
	od
#undef me
}

/* ---- The third party: a lessee of another name, with a perfect network. ---- */

#define theirs (theirToken && row.holder == THEIRS && row.token == theirToken)

active proctype ThirdParty() {
end:
	do
	:: d_step { clock[their] && row.token && row.token < TOKENS && (row.until < clock[their] || row.holder == THEIRS) ->
		if
		:: row.holder == OURS -> reached(TAKEN_OVER)
		:: row.holder == THEIRS && row.until >= clock[their] && !theirToken -> reached(HANDED_TO_ONE)
		:: else
		fi;
		row.holder = THEIRS; row.until = clock[their] + DUR; row.token++; dropWish();
		theirEnd = promised(row.until); theirToken = row.token;
		settle();
		tell("third party", " leases");
		exclusive
	   }
	:: d_step { theirs && theirEnd && row.until < clock[their] + DUR ->
		row.until = clock[their] + DUR; theirEnd = promised(row.until);
		tell("third party", " renews")
	   }
	:: d_step { theirs ->
		theirEnd = 0; theirToken = 0;
		row.holder = NOBODY; row.until = 0; dropWish();
		settle();
		tell("third party", " releases")
	   }
	:: d_step { theirs && wished(clock[their]) ->
		theirEnd = 0; theirToken = 0;
		reserve(clock[their]);
		settle();
		tell("third party", " hands over")
	   }
	:: d_step { theirToken ->
		theirEnd = 0; theirToken = 0;
		tell("third party", " crashes")
	   }
	od
}

#ifdef WISHES
/* ---- Wishes: for anybody, the holder too, at any time. The wisher may have seen nothing, or be an operator. ---- */

active proctype Wisher() {
end:
	do
	:: d_step { row.token && row.wantedBy != OURS ->
		row.wantedBy = OURS; row.wantedUntil = latest + WISH;
		tell("wish", " for ours")
	   }
	:: d_step { row.token && row.wantedBy != THEIRS ->
		row.wantedBy = THEIRS; row.wantedUntil = latest + WISH;
		tell("wish", " for the third party")
	   }
	:: d_step { row.wantedBy && row.wantedUntil != latest ->
		row.wantedUntil = latest;
		tell("wish", " is moved to end now")
	   }
	od
}
#endif

#ifdef ORIGINAL
/*
 * ---- A worker of the original library: it has the name and the host of process 1, and a perfect network. ----
 * It works before or after ours, not beside them: while neither has a tenure or a call. And each of its ends
 * is later than those that ours asked for.
 */

#define atRest(i) (!c[i].end && !c[i].token && !c[i].call.kind)

active proctype Original() {
end:
	do
	:: d_step { clock[0] && row.token && (row.until < clock[0] || row.holder == OURS) &&
			originalEnd != promised(clock[0] + DUR) &&
			atRest(0) && atRest(1) && (late.kind == lease || late.from < clock[0] + DUR) ->
		row.holder = OURS; row.until = clock[0] + DUR; originalEnd = promised(row.until);
		settle();
		tell("original", " leases");
		exclusive
	   }
	:: d_step { originalEnd ->
		originalEnd = 0;
		tell("original", " dies")
	   }
	od
}
#endif
