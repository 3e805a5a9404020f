/*
 * Wish, handover and reservation on one row: two processes with a network that loses, delays and repeats, and
 * a third party. README.md beside this file says what is abstracted and names the Go function of each step.
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
#define WISH 1     /* how long a wish lasts */
#endif
#ifndef HOLD
#define HOLD 1     /* a reservation lasts as long as the wish, and at least so long */
#endif
#ifndef MOST
#define MOST 1     /* and at most so long */
#endif
#ifndef BOUND
#define BOUND 2    /* a wish that ends further ahead is not followed: WISH + SKEW */
#endif
#ifndef HORIZON
#define HORIZON 3  /* no clock goes further; all times fit into 4 bits */
#endif
#ifndef TOKENS
#define TOKENS 3   /* no more tenures than this */
#endif

/* The two processes have a name each, or with ONE_NAME the same. */
#define NOBODY 0
#ifdef ONE_NAME
#define NAME(i) 1
#else
#define NAME(i) (1 + i)
#endif
#define THEIRS 3

/* ---- The rules, and what the broken variants make of them. ---- */

/* A release or handover is for a row as the tenure may have left it. */
#define OWN(m, i) (row.holder == NAME(i) && row.token == m.token && row.until <= m.from)
#if defined(HANDOVER_ANY_TOKEN)
#define OWN_TO_HAND(m, i) (row.holder == NAME(i) && row.until <= m.from)
#elif defined(HANDOVER_ANY_END)
#define OWN_TO_HAND(m, i) (row.holder == NAME(i) && row.token == m.token)
#elif defined(HANDOVER_ANY_HOLDER)
#define OWN_TO_HAND(m, i) (row.token == m.token && row.until <= m.from)
#else
#define OWN_TO_HAND(m, i) OWN(m, i)
#endif

/* A handover is for a live wish, whose end is not too far ahead. */
#ifdef HANDOVER_FAR
#define WISHED(at) (row.wantedBy && row.wantedUntil >= at)
#else
#define WISHED(at) (row.wantedBy && row.wantedUntil >= at && row.wantedUntil <= at + BOUND)
#endif

/* Its tenure is over before it is sent. */
#ifdef HANDOVER_STAYS_VALID
#define STOP(i) skip
#else
#define STOP(i) c[i].end = 0
#endif

/* Not before the end that the tenure remembers. */
#ifdef HANDS_OVER_EARLY
#define MAYHAND(i) true
#else
#define MAYHAND(i) (clock[i] > c[i].older)
#endif

/* A wish is for the row as it was seen: holder, token, and the wish that was there or none. */
#ifdef WISH_ANY_ROW
#define SEEN(m) true
#else
#define SEEN(m) (row.holder == m.holder && row.token == m.token && row.wantedBy == m.wanted && row.wantedUntil == m.from)
#endif

/* A lease is for a free row, or for the own row as it was seen. A reservation is free when its end is past. */
#ifdef RESERVATION_STAYS
#define FREE(now) (row.until < now && !(row.wantedBy && row.wantedBy == row.holder))
#else
#define FREE(now) (row.until < now)
#endif
#define MATCHES(m, i) (row.holder == NAME(i) && row.until == m.from && row.token == m.token)

/*
 * Nor is it for an own row that another wants, unless it was seen to be wanted: then the lease is for that row
 * only, and keeps the wish.
 */
#define WANTED(name, at) (row.wantedBy && row.wantedBy != name && row.wantedUntil >= at)
#define OWN_LIVE(name, at) (row.holder == name && row.until >= at)
#if defined(LEASE_DROPS_WISH)
#define KEEPS(name, at) false
#define UNWANTED(m, i) true
#elif defined(WISH_UNSEEN)
#define KEEPS(name, at) WANTED(name, at)
#define UNWANTED(m, i) true
#else
#define KEEPS(name, at) WANTED(name, at)
#define UNWANTED(m, i) !WANTED(NAME(i), m.now)
#endif

/* A withdrawal is for the very wish that was made, and not for a reservation. */
#if defined(WITHDRAW_ANY_END)
#define TO_WITHDRAW(m, i) (row.wantedBy == NAME(i) && row.holder != NAME(i))
#elif defined(WITHDRAW_RESERVED)
#define TO_WITHDRAW(m, i) (row.wantedBy == NAME(i) && row.wantedUntil == m.until)
#else
#define TO_WITHDRAW(m, i) (row.wantedBy == NAME(i) && row.wantedUntil == m.until && row.holder != NAME(i))
#endif

/* A reservation lasts as long as the wish, within bounds. */
#ifdef RESERVED_LONG
#define RESERVED_UNTIL(at) later(row.wantedUntil, at + HOLD)
#else
#define RESERVED_UNTIL(at) sooner(later(row.wantedUntil, at + HOLD), at + MOST)
#endif

/* Each lease has a new token. */
#ifdef TAKEN_WITH_OLD_TOKEN
#define NUMBER(name) if :: row.holder == name && row.wantedBy == name -> skip :: else -> row.token++ fi
#else
#define NUMBER(name) row.token++
#endif

/* A lease and a release remove the wish. */
#ifdef WISH_STAYS
#define DROP_WISH skip
#else
#define DROP_WISH dropWish()
#endif

/* The tenure remembers the end that was seen; if its process left the row so, what was remembered before. */
#define KEPT(i, ends, t) (t == c[i].token && ends == c[i].asked -> c[i].older : ends)
#if defined(RESERVED_EXCEPTED)
#define REMEMBERED(i, ends, t) (row.wantedBy == NAME(i) && row.wantedUntil >= clock[i] -> 0 : KEPT(i, ends, t))
#elif defined(KNOWS)
#define REMEMBERED(i, ends, t) (t == c[i].saw -> 0 : KEPT(i, ends, t))
#else
#define REMEMBERED(i, ends, t) KEPT(i, ends, t)
#endif
#define RELEASED(i) (clock[i] <= c[i].older -> c[i].older : 0)

#include "probes.pml"
#define HANDED_OVER 1
#define TAKEN 2               /* a reservation, by whom it is for */
#define WISHER_CRASHES 3      /* while the row is reserved for it */
#define LAPSED 4              /* a reservation: another leased the row after its end */
#define REPLACED 5            /* a wish by another's */
#define WISH_REFUSED 6        /* the row is not as it was seen */
#define LATE_WISH 7           /* a wish is applied when its sender has given up */
#define LATE_HANDOVER 8       /* likewise a handover */
#define APPLIED_BEFORE 9      /* a refused handover or release whose row has the tenure's token still */
#define WISH_OVER 10          /* a handover is refused as there is no live wish: it may be released */
#define TOO_FAR 11            /* a wish that is not followed */
#define HELD_BACK 12          /* a release that wrote the remembered end */
#define TO_ITSELF 13          /* a handover to the name of the holder */
#define LATE_HANDOVER_ENDS 14 /* is refused by the end that the original wrote */
#define ORIGINAL_TAKES 15     /* a reservation */
#define KNOWN 16              /* a reservation, to a process that saw its token under another's name */
#define DISMISSED 17          /* such a one is released, without a tenure */
#define BOTH_VALID 18         /* ONE_NAME: two tenures */
#define CALM_SERVED 19        /* a lease after the faults have stopped */
#define CALM_LAPSED 20        /* the same, of a row that was reserved for a dead wisher */
#define WISH_KEPT 21          /* by a lease of an own row */
#define WISH_UNEXPECTED 22    /* a lease of an own row is refused, as it is wanted meanwhile */
#define WITHDRAWN 23
#define LATE_WITHDRAWAL 24    /* is applied when its sender has given up */
#define WITHDRAWN_TOO_LATE 25 /* the row has been handed over */
#define CUT_SHORT 26          /* a reservation, before the wish's end */

/* ---- State. What is marked ghost is read by assertions and probes only. ---- */

#define nothing 0
mtype = { lease, renew, release, handover, wish, withdraw, ok, own, refused };

typedef Row {
	unsigned holder : 2;
	unsigned until : 4;       /* 0: free */
	unsigned token : 3;
	unsigned wantedBy : 2;
	unsigned wantedUntil : 4;
	bit given;                /* ghost: the tenure of this token has released it or handed it over */
	unsigned wantedFrom : 3   /* ghost: the token of the tenure that the wish is for */
};
Row row;
unsigned greatest : 3;        /* ghost: the greatest token of any tenure */

typedef Request {
	mtype kind;
	unsigned now : 4;         /* lease, handover: the sender's clock */
	unsigned until : 4;       /* the end that it writes; withdraw: the wish's end */
	unsigned from : 4;        /* lease: the end of the own live row that was seen, or 0; wish: the end of the wish seen;
	                             else the furthest end asked for */
	unsigned token : 3;       /* lease, wish: that row's; else the tenure's */
	unsigned older : 4;       /* lease: what the tenure is to remember */
	unsigned holder : 2;      /* wish: the holder that was seen */
	unsigned wanted : 2;      /* wish: the wisher that was seen, or nobody */
	bit keeps;                /* lease: the own row was seen to be wanted */
	bit sender
};

typedef Process {
	unsigned end : 4;         /* the tenure is valid while clock < end; 0 once it is over */
	unsigned token : 3;       /* of the last tenure, also when it is over; 0 if none is remembered */
	unsigned asked : 4;       /* the furthest end that it asked for */
	unsigned older : 4;       /* until when an older process of the name may rely on the item; 0: there is none */
	Request call;             /* the request under way; it may be applied any number of times, or never */
	mtype reply;              /* what came back for it */
	unsigned seen : 3;        /* the token that the reply shows */
	unsigned seenEnd : 4;     /* with own: the end */
	bit seenWanted            /* with own: another wants it */
#ifdef KNOWS
	; unsigned saw : 3        /* the token that the row had when it was last seen under another's name */
#endif
};
Process c[2];

Request late;                 /* a request that nobody waits for any more */

/* The third party. And the end of the lease of an original with the name of process 1. */
unsigned theirEnd : 4;
unsigned theirToken : 3;
unsigned originalEnd : 4;

#ifdef CALM
byte calm;     /* the faults have stopped and both processes are dead; 2 when the third party was served */
byte deadline; /* by which it must be served, by its own clock */
#else
#define calm 0
#endif

byte clock[3];
#define their 2
#define later(a, b) (a > b -> a : b)
#define sooner(a, b) (a < b -> a : b)
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
 * Clocks don't go back. Nor do tokens: what names an older one is refused for good. So is what names a holder
 * that the row has no more: with that token only the original can make it the holder's again. EVERY_STATE
 * clears nothing, to check this.
 */

#if defined(ORIGINAL) || defined(HANDOVER_ANY_HOLDER)
#define dead(name, t) (t < row.token)
#else
#define dead(name, t) (t < row.token || row.holder != name)
#endif

#ifdef HANDOVER_ANY_TOKEN
#define deadRequest(m, i) (m.kind != handover && dead(NAME(i), m.token))
#else
#define deadRequest(m, i) dead(NAME(i), m.token)
#endif

#ifdef WITHDRAW_ANY_END
#define deadWithdrawal(m) false
#else
#define deadWithdrawal(m) allPast(m.until)
#endif

#ifdef WISH_ANY_ROW
#define deadWish(m) false
#else
#define deadWish(m) dead(m.holder, m.token)
#endif

inline clear(m) {
	m.kind = nothing; m.now = 0; m.until = 0; m.from = 0; m.token = 0; m.older = 0; m.holder = 0; m.wanted = 0; m.keeps = 0; m.sender = 0
}

/* A lease that minds whether the row is wanted. */
#define isBound(m) (m.kind == lease && m.from)

#ifdef EVERY_STATE
inline settle() {
	skip
}
#else
inline settle() {
	if
	:: late.kind == wish && deadWish(late) -> clear(late)
	:: late.kind == withdraw && deadWithdrawal(late) -> clear(late)
	:: late.kind && late.kind != lease && late.kind != wish && late.kind != withdraw && deadRequest(late, late.sender) -> clear(late)
	:: late.kind == lease && dead(NAME(late.sender), late.token) -> late.from = 0; late.token = 0; late.keeps = 0
	:: else
	fi;
	if
	:: allPast(row.wantedUntil) && late.kind != handover && c[0].call.kind != handover && c[1].call.kind != handover &&
			late.kind != wish && c[0].call.kind != wish && c[1].call.kind != wish &&
			!isBound(late) && !isBound(c[0].call) && !isBound(c[1].call) ->
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
	:: dead(NAME(i), c[i].token) -> c[i].token = 0; c[i].asked = 0; c[i].older = 0
	:: else
	fi;
	if
	:: c[i].call.kind == wish && deadWish(c[i].call) ->
		c[i].call.until = 0; c[i].call.from = 0; c[i].call.token = 0; c[i].call.holder = 0; c[i].call.wanted = 0
	:: c[i].call.kind == withdraw && deadWithdrawal(c[i].call) -> c[i].call.until = 0
	:: c[i].call.kind && c[i].call.kind != wish && c[i].call.kind != withdraw && deadRequest(c[i].call, i) && c[i].reply != ok ->
		c[i].call.from = 0; c[i].call.keeps = 0;
		if
		:: c[i].call.kind == lease || c[i].call.token != row.token -> c[i].call.token = 0
		:: else /* its refusal shows this token */
		fi;
		if
		:: c[i].call.kind != lease -> c[i].call.now = 0; c[i].call.until = 0
		:: else
		fi
	:: else
	fi;
	if
	:: c[i].older < clock[i] -> c[i].older = 0
	:: else
	fi;
	if
	:: c[i].call.older < clock[i] -> c[i].call.older = 0
	:: else
	fi
#ifdef KNOWS
	;
	if
	:: c[i].saw < row.token -> c[i].saw = 0
	:: else
	fi
#endif
}
#endif

/* ---- What is asserted. ---- */

/* Mutual exclusion: never do two rely on the item, but for processes of one name. */
#ifdef ONE_NAME
#define exclusive assert(!theirEnd || !c[0].end && !c[1].end && !originalEnd)
#else
#define exclusive assert((theirEnd != 0) + (c[1].end != 0) + (c[0].end != 0 || originalEnd != 0) <= 1)
#endif

/* No item is lost for good: whatever lies in the row ends soon. */
inline endsSoon() {
	assert(row.until <= latest + later(DUR, MOST))
}

/* Each tenure's token exceeds all earlier ones. No lease of an own row removes another's wish. */
inline newTenure(name, at, wishStays) {
	if
	:: row.given && row.holder && row.holder == name -> reached(TAKEN)
	:: row.given && row.holder && row.holder != name -> reached(LAPSED)
	:: else
	fi;
	if
	:: wishStays -> NUMBER(name); row.wantedFrom = row.token; reached(WISH_KEPT)
	:: else ->
		assert(!(WANTED(name, at) && OWN_LIVE(name, at)));
		NUMBER(name); DROP_WISH
	fi;
	row.holder = name; row.given = 0;
	assert(row.token > greatest);
	greatest = row.token
}

/*
 * A refused handover or release whose row has the token of its tenure still, and is not its own, was applied
 * before. But an original takes a row whose end is past without a new token.
 */
#if !defined(ORIGINAL) || defined(TOLD_BY_TOKEN)
#define applied assert(row.given)
#else
#define applied skip
#endif

/* ---- The row: one conditional write. ---- */

inline dropWish() {
	row.wantedBy = NOBODY; row.wantedUntil = 0; row.wantedFrom = 0
}

/* The row is handed over to whoever wishes for it. The wish stays. */
inline reserve(at) {
	if
	:: row.holder == row.wantedBy -> reached(TO_ITSELF)
	:: else
	fi;
	assert(row.wantedFrom == row.token); /* nobody hands over for a wish that was made for an older tenure */
	row.holder = row.wantedBy; row.until = RESERVED_UNTIL(at); row.given = 1;
	if
	:: row.until < row.wantedUntil -> reached(CUT_SHORT)
	:: else
	fi;
	reached(HANDED_OVER);
	endsSoon()
}

inline setWish(name, number) {
	if
	:: row.wantedBy && row.wantedBy != name && row.wantedUntil >= latest -> reached(REPLACED)
	:: else
	fi;
	row.wantedBy = name; row.wantedFrom = number
}

mtype result; /* what the reply says; nothing between steps */

/* Bounds the exploration: what would begin a tenure too many has no effect. */
#define takes(m, i) (m.keeps -> MATCHES(m, i) : (FREE(m.now) || MATCHES(m, i) && UNWANTED(m, i)))
inline apply(m, i) {
	result = refused;
	if
	:: m.kind == lease && row.token < TOKENS && takes(m, i) ->
		newTenure(NAME(i), m.now, m.keeps);
		row.until = m.until;
		result = ok;
		tell("  applied:", " lease")
	:: m.kind == lease && row.token < TOKENS && !takes(m, i) && row.holder == NAME(i) ->
		result = own;
		if
		:: MATCHES(m, i) -> reached(WISH_UNEXPECTED)
		:: else
		fi;
		tell("  refused:", " lease")
	:: m.kind == renew && row.holder == NAME(i) && row.token == m.token ->
		if
		:: row.until <= m.until -> row.until = m.until
		:: else /* the row has a later end already */
		fi;
		result = ok;
		tell("  applied:", " renewal")
	:: m.kind == release && OWN(m, i) ->
		row.holder = NOBODY; row.until = m.until; row.given = 1; DROP_WISH;
		if
		:: m.until -> reached(HELD_BACK)
		:: else
		fi;
		result = ok;
		tell("  applied:", " release")
	:: m.kind == handover && OWN_TO_HAND(m, i) && WISHED(m.now) ->
		reserve(m.now);
		result = ok;
		tell("  applied:", " handover")
	:: m.kind == handover && OWN(m, i) && !WISHED(m.now) ->
		if
		:: row.wantedUntil > m.now + BOUND -> reached(TOO_FAR)
		:: else -> reached(WISH_OVER)
		fi
	:: m.kind == wish && row.holder && row.holder != NAME(i) && SEEN(m) ->
		setWish(NAME(i), m.token); row.wantedUntil = m.until;
		result = ok;
		tell("  applied:", " wish")
	:: m.kind == wish && !(row.holder && row.holder != NAME(i) && SEEN(m)) -> reached(WISH_REFUSED)
	:: m.kind == withdraw && TO_WITHDRAW(m, i) ->
		assert(row.wantedUntil == m.until); /* no other wish is removed, later than this one */
		assert(!(row.given && row.holder == NAME(i))); /* and no reservation looks like a lease */
		dropWish();
		result = ok;
		reached(WITHDRAWN);
		tell("  applied:", " withdrawal")
	:: m.kind == withdraw && row.given && row.holder == NAME(i) -> reached(WITHDRAWN_TOO_LATE)
	:: else
	fi;
	endsSoon()
}

active proctype Late() {
end:
	do
	:: d_step { late.kind ->
		apply(late, late.sender);
		if
		:: late.kind == wish && result == ok -> reached(LATE_WISH)
		:: late.kind == withdraw && result == ok -> reached(LATE_WITHDRAWAL)
		:: late.kind == handover && result == ok -> reached(LATE_HANDOVER)
		:: late.kind == handover && result == refused && originalEnd && row.token == late.token -> reached(LATE_HANDOVER_ENDS)
		:: else
		fi;
		result = nothing;
		settle()
	   }
	od
}

/* ---- The two processes. A pause needs no step: anybody may take none for any time. ---- */

/* The first tenure is process 1's: the other runs are the same with the two swapped, if they are alike. */
#if defined(ORIGINAL) && defined(ONE_NAME)
#define mayBeFirst(i) true
#else
#define mayBeFirst(i) (i == 0)
#endif

inline forget(i) {
	c[i].end = 0; c[i].token = 0; c[i].asked = 0; c[i].older = 0
}

inline clearReply(i) {
	c[i].reply = nothing; c[i].seen = 0; c[i].seenEnd = 0; c[i].seenWanted = 0
}

inline hangUp(i) {
	clear(c[i].call);
	clearReply(i)
}

inline keep(i) {
	late.kind = c[i].call.kind; late.now = c[i].call.now; late.until = c[i].call.until;
	late.from = c[i].call.from; late.token = c[i].call.token;
	late.holder = c[i].call.holder; late.wanted = c[i].call.wanted; late.keeps = c[i].call.keeps; late.sender = i
}

/* The row was seen to be its own and live. */
inline bind(i, ends, number, isWanted) {
	c[i].call.from = ends; c[i].call.token = number; c[i].call.keeps = isWanted;
	c[i].call.until = later(c[i].call.now + DUR, ends);
	c[i].call.older = REMEMBERED(i, ends, number)
#ifdef KNOWS
	;
	if
	:: number == c[i].saw -> reached(KNOWN)
	:: else
	fi
#endif
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
	fi
}

#ifdef KNOWS
inline die(i) {
	forget(i); hangUp(i); c[i].saw = 0
}
#else
inline die(i) {
	forget(i); hangUp(i)
}
#endif

active [2] proctype Step() {
#define me (_pid - 1)
end:
	do
	/* It has seen a row to be had and leases it. Until the reply comes it relies on the tenure that it has. */
	:: d_step { !calm && !c[me].call.kind && clock[me] && row.token < TOKENS && (row.token || mayBeFirst(me)) &&
			(FREE(clock[me]) || row.holder == NAME(me)) ->
		c[me].call.kind = lease; c[me].call.now = clock[me]; c[me].call.until = clock[me] + DUR;
		if
		:: row.until >= clock[me] -> bind(me, row.until, row.token, KEEPS(NAME(me), clock[me]))
		:: else
		fi;
		settle();
		tellOf(me, "sends lease")
	   }
	/* Heartbeat: only while the tenure is valid. */
	:: d_step { !calm && !c[me].call.kind && c[me].end ->
		c[me].asked = later(c[me].asked, clock[me] + DUR);
		sendUpdate(me, renew, clock[me] + DUR);
		settle();
		tellOf(me, "sends renewal")
	   }
	/* Release: the tenure ends before the request is sent. One that is over may be released too. */
	:: d_step { !calm && !c[me].call.kind && c[me].token ->
		c[me].end = 0;
		sendUpdate(me, release, 0); c[me].call.until = RELEASED(me);
		settle();
		tellOf(me, "sends release")
	   }
	/* Handover: likewise. It has learned of a wish. */
	:: d_step { !calm && !c[me].call.kind && c[me].token && row.wantedBy && MAYHAND(me) ->
		STOP(me);
		sendUpdate(me, handover, 0); c[me].call.now = clock[me];
		settle();
		tellOf(me, "sends handover")
	   }
#ifndef OPERATOR
	/* Wish, for another's row as it is. The request may take any time. */
	:: d_step { !calm && !c[me].call.kind && clock[me] && !c[me].token && row.holder && row.holder != NAME(me) &&
			(row.wantedBy != NAME(me) || row.wantedUntil < clock[me] + WISH) ->
		c[me].call.kind = wish; c[me].call.until = clock[me] + WISH; c[me].call.token = row.token;
		c[me].call.holder = row.holder; c[me].call.wanted = row.wantedBy; c[me].call.from = row.wantedUntil;
		settle();
		tellOf(me, "sends wish")
	   }
	/* It withdraws its wish. */
	:: d_step { !calm && !c[me].call.kind && row.wantedBy == NAME(me) && row.wantedUntil >= clock[me] ->
		c[me].call.kind = withdraw; c[me].call.until = row.wantedUntil;
		settle();
		tellOf(me, "sends withdrawal")
	   }
#endif
#ifdef KNOWS
	/* A scan shows the row under another's name. */
	:: d_step { !calm && row.holder && row.holder != NAME(me) && c[me].saw != row.token ->
		c[me].saw = row.token;
		tellOf(me, "sees another's row")
	   }
	/* It has no use for the reservation, and releases it as it was seen. */
	:: d_step { !calm && !c[me].call.kind && c[me].saw && !c[me].end && row.holder == NAME(me) && row.token == c[me].saw ->
		c[me].call.kind = release; c[me].call.until = 0; c[me].call.from = row.until; c[me].call.token = row.token;
		reached(DISMISSED);
		settle();
		tellOf(me, "dismisses reservation")
	   }
#endif
#ifdef DISMISSED_BY_LOOK
	:: d_step { !calm && !c[me].call.kind && !c[me].end && row.holder == NAME(me) && row.wantedBy == NAME(me) && row.wantedUntil >= clock[me] ->
		c[me].call.kind = release; c[me].call.until = 0; c[me].call.from = row.until; c[me].call.token = row.token;
		settle();
		tellOf(me, "dismisses reservation")
	   }
#endif
	/* The network delivers the request. The reply comes, or it is lost and the SDK may send the request again. */
	:: d_step { !calm && c[me].call.kind && !c[me].reply ->
		apply(c[me].call, me);
		c[me].reply = result;
		if
		:: result == ok && c[me].call.kind == lease -> c[me].seen = row.token
		:: result == own ->
			c[me].seen = row.token; c[me].seenEnd = row.until; c[me].seenWanted = KEEPS(NAME(me), c[me].call.now)
		:: result == refused && (c[me].call.kind == release || c[me].call.kind == handover) &&
				row.token == c[me].call.token && !OWN(c[me].call, me) ->
			applied;
			reached(APPLIED_BEFORE)
		:: else
		fi;
		result = nothing;
		settle()
	   }
	:: d_step { !calm && c[me].call.kind ->
		apply(c[me].call, me);
		result = nothing;
		settle()
	   }
	/* The reply arrives. */
	:: d_step { c[me].reply ->
		if
		/* It leases what the refusal has shown. The code does so once, the model without end. */
		:: c[me].call.kind == lease && c[me].reply == own ->
			bind(me, c[me].seenEnd, c[me].seen, c[me].seenWanted);
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
	:: d_step { !calm && c[me].call.kind ->
		keep(me); hangUp(me); settle();
		tellOf(me, "gives up; the network keeps it")
	   }
	:: d_step { !calm && c[me].call.kind ->
		hangUp(me); settle();
		tellOf(me, "gives up")
	   }
	/* The process crashes. It restarts with the same name and clock, and knows nothing. */
	:: d_step { !calm && (c[me].token || c[me].end || c[me].call.kind) ->
		if
		:: row.given && row.holder == NAME(me) -> reached(WISHER_CRASHES)
		:: else
		fi;
		die(me); settle();
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

#ifdef CALM
/* Once the faults have stopped, the third party tries in each tick. */
#ifndef CALM_BY
#define CALM_BY (HORIZON - later(DUR, MOST) - 2)
#endif
#define mayTick(i) (!calm && clock[i] < CALM_BY || calm == 1 && (i != their || !clock[their] || !FREE(clock[their]) && row.holder != THEIRS))
#else
#define mayTick(i) true
#endif

active [3] proctype Clock() {
#define me (_pid - 3)
end:
	do
	:: d_step { clock[me] < HORIZON && mayTick(me) &&
			clock[me] < clock[0] + SKEW && clock[me] < clock[1] + SKEW && clock[me] < clock[2] + SKEW ->
#ifdef CALM
		assert(calm != 1 || me != their || clock[their] < deadline); /* served in time */
#endif
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
	:: d_step { calm != 2 && clock[their] && row.token && (calm || row.token < TOKENS) && (FREE(clock[their]) || row.holder == THEIRS) ->
		if
		:: calm && row.given && row.holder && row.holder != THEIRS -> reached(CALM_LAPSED)
		:: else
		fi;
		newTenure(THEIRS, clock[their], (OWN_LIVE(THEIRS, clock[their]) && KEEPS(THEIRS, clock[their])));
		row.until = clock[their] + DUR;
		theirEnd = promised(row.until); theirToken = row.token;
#ifdef CALM
		if
		:: calm -> calm = 2; reached(CALM_SERVED)
		:: else
		fi;
#endif
		settle();
		tell("third party", " leases");
		exclusive
	   }
	:: d_step { !calm && theirs && theirEnd && row.until < clock[their] + DUR ->
		row.until = clock[their] + DUR; theirEnd = promised(row.until);
		tell("third party", " renews")
	   }
	:: d_step { !calm && theirs ->
		theirEnd = 0; theirToken = 0;
		row.holder = NOBODY; row.until = 0; row.given = 1; DROP_WISH;
		settle();
		tell("third party", " releases")
	   }
	:: d_step { !calm && theirs && WISHED(clock[their]) ->
		theirEnd = 0; theirToken = 0;
		reserve(clock[their]);
		settle();
		tell("third party", " hands over")
	   }
#ifndef OPERATOR
	:: d_step { !calm && clock[their] && row.holder && row.holder != THEIRS &&
			(row.wantedBy != THEIRS || row.wantedUntil < clock[their] + WISH) ->
		setWish(THEIRS, row.token); row.wantedUntil = clock[their] + WISH;
		tell("third party", " wishes")
	   }
	:: d_step { !calm && row.wantedBy == THEIRS && row.holder != THEIRS ->
		dropWish();
		tell("third party", " withdraws its wish")
	   }
#endif
	:: d_step { !calm && theirToken ->
		theirEnd = 0; theirToken = 0;
		tell("third party", " crashes")
	   }
	od
}

#ifdef OPERATOR
/* ---- Wishes at will: for anybody, the holder too, at any time, bound to nothing, also far ahead. ---- */

active proctype Operator() {
end:
	do
	:: d_step { !calm && row.token && row.wantedBy != NAME(0) ->
		setWish(NAME(0), row.token); row.wantedUntil = latest + WISH;
		tell("wish", " for process 1")
	   }
#ifndef ONE_NAME
	:: d_step { !calm && row.token && row.wantedBy != NAME(1) ->
		setWish(NAME(1), row.token); row.wantedUntil = latest + WISH;
		tell("wish", " for process 2")
	   }
#endif
	:: d_step { !calm && row.token && row.wantedBy != THEIRS ->
		setWish(THEIRS, row.token); row.wantedUntil = latest + WISH;
		tell("wish", " for the third party")
	   }
	:: d_step { !calm && row.wantedBy && row.wantedUntil != latest ->
		row.wantedUntil = latest;
		tell("wish", " is moved to end now")
	   }
#ifdef FAR
	:: d_step { !calm && row.wantedBy && row.wantedUntil != 15 ->
		row.wantedUntil = 15;
		tell("wish", " is moved to end far ahead")
	   }
#endif
	od
}
#endif

#ifdef ORIGINAL
/*
 * ---- A worker of the original library: it has the name and the host of process 1, and a perfect network. ----
 * It works before or after ours of its name, not beside them: while they have no tenure and no call. And each of
 * its ends is later than those that they asked for. It knows neither tokens nor wishes, and leaves both as they are.
 */

#ifdef KNOWS
#define atRest(i) (!c[i].end && !c[i].token && !c[i].call.kind && !c[i].saw)
#else
#define atRest(i) (!c[i].end && !c[i].token && !c[i].call.kind)
#endif
#ifdef ONE_NAME
#define oursAtRest (atRest(0) && atRest(1))
#define lateIsOurs true
#else
#define oursAtRest atRest(0)
#define lateIsOurs (late.sender == 0)
#endif

active proctype Original() {
end:
	do
	:: d_step { !calm && clock[0] && row.token && (row.until < clock[0] || row.holder == NAME(0)) &&
			originalEnd != promised(clock[0] + DUR) && oursAtRest &&
			(late.kind == lease || late.kind == wish || !lateIsOurs || late.from < clock[0] + DUR) ->
		if
		:: row.given && row.holder == NAME(0) -> reached(ORIGINAL_TAKES)
		:: else
		fi;
		row.holder = NAME(0); row.until = clock[0] + DUR; originalEnd = promised(row.until);
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

#ifdef CALM
/* At any moment: both processes die for good, and nobody does anything but the third party and what the network has. */
active proctype Weather() {
end:
	d_step { row.token && !theirEnd ->
		calm = 1;
		deadline = latest + later(DUR, MOST) + 1;
		die(0); die(1); theirToken = 0;
		settle();
		tell("calm", "")
	};
stuck:
	timeout -> assert(calm == 2) /* nothing but having been served stops the third party */
}
#endif
