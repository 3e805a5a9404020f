/*
 * Two processes of one name (A: P0 and P1, with a faulty network), a third party (B, whose requests are immediate), and a
 * worker of the original library of A's name (O), on one row. README.md beside this file says what is checked.
 * `check` compiles this file once for each of its cases, with the -D options that it prints.
 *
 * One clock: the margin is spent on skew, which lease.pml has. A tenure is relied on through its very end, and the row is
 * free the tick after it. Wishes are an adversary's, at any time.
 */
#ifndef D
#define D 1        /* the lease duration */
#endif
#ifndef W
#define W 1        /* a wish's longest time */
#endif
#ifndef HORIZON
#define HORIZON 4  /* the clock goes no further */
#endif
#ifndef TOK
#define TOK 3      /* no more tenures than this */
#endif
#ifndef WISHES
#define WISHES 0   /* there are wishes and handovers */
#endif
#ifndef SELF
#define SELF 1     /* a wish may name the holder */
#endif
#ifndef KNOWS
#define KNOWS 1    /* a process knows its own older tenure by token and end */
#endif
#ifndef ORIG
#define ORIG 0     /* there is a worker of the original of A's name, at work while no process of ours is */
#endif

/* What the broken variants leave out. */
#ifndef BOUND
#define BOUND 1    /* an own live row is leased only as it was seen, and its end is remembered */
#endif
#ifndef NOSHORT
#define NOSHORT 1  /* such a lease never shortens the row */
#endif
#ifndef RELREM
#define RELREM 1   /* a release writes the remembered end */
#endif
#ifndef HANDREM
#define HANDREM 1  /* no handover before it */
#endif
#ifndef ENDCHECK
#define ENDCHECK 1 /* own: also by the furthest end that the tenure asked for */
#endif
#ifndef RESV
#define RESV 0     /* 1: a row that was handed over to A is excepted */
#endif

#define A 1
#define B 2
#define LEASE 1
#define RENEW 2
#define RELEASE 3
#define HAND 4
#define OK 1
#define NO 2
#define OWN 3
typedef Row { byte h; byte u; byte t; byte wb; byte wu };
typedef Req { byte k; byte now; byte until; byte tok; byte x; byte se; bit bound };
typedef P { byte end; byte tok; byte asked; byte rem; Req q; byte rep; byte rt; byte ru; byte rf };
Row r; P c[2]; Req late;
byte bEnd, bTok, oEnd;
byte now = 1;
byte res, rr, rx, old; /* 0 between steps */
#define T(s) printf(s); printf(" | now %d row h%d u%d t%d w%d/%d | P0 end %d tok %d rem %d | P1 end %d tok %d rem %d | B end %d | O end %d\n", now, r.h, r.u, r.t, r.wb, r.wu, c[0].end, c[0].tok, c[0].rem, c[1].end, c[1].tok, c[1].rem, bEnd, oEnd)
#define EXCL assert(!((c[0].end || c[1].end || oEnd) && bEnd)) /* mutual exclusion of names */
#define BND assert(r.u <= now + (D > W -> D : W)) /* no item is lost for good */
#define reservedFor(n) (RESV && r.h == n && r.wb == n && r.wu >= now)
#define mine(m) (r.h == A && r.t == m.tok && (!ENDCHECK || r.u <= m.x))
#define wished(n) (r.wb && r.wu >= n)
#define max(a,b) ((a) > (b) -> (a) : (b))

/* KN: the sender knows that it ended the tenure in the row itself */
#define KN(i) (KNOWS && c[i].tok && r.h == A && r.t == c[i].tok && r.u <= c[i].asked)
#define handOver(z) r.h = r.wb; r.u = max(r.wu, z + 1)
/* what can have no effect any more is forgotten, to have fewer states: tokens only grow */
inline canon() {
	if :: late.k > LEASE && late.tok < r.t -> late.k = 0; late.now = 0; late.until = 0; late.tok = 0; late.x = 0 :: else fi;
	if :: !c[0].end && c[0].tok && c[0].tok < r.t && !c[0].q.k -> c[0].tok = 0; c[0].asked = 0; c[0].rem = 0 :: else fi;
	if :: !c[1].end && c[1].tok && c[1].tok < r.t && !c[1].q.k -> c[1].tok = 0; c[1].asked = 0; c[1].rem = 0 :: else fi;
	if :: !bEnd && bTok && bTok < r.t -> bTok = 0 :: else fi;
	if :: c[0].rem && c[0].rem < now && (!c[0].q.k || !c[0].tok) -> c[0].rem = 0 :: else fi;
	if :: c[1].rem && c[1].rem < now && (!c[1].q.k || !c[1].tok) -> c[1].rem = 0 :: else fi
}
inline apply(m, i, known) {
	res = NO; rr = 0; rx = 0;
	if
	:: m.k == LEASE && r.t < TOK && (r.u < m.now || r.h == A && (m.bound && r.u == m.x && r.t == m.tok || !m.bound && !BOUND && r.u < m.until)) ->
		if
		:: known && r.u >= m.now -> rr = c[i].rem
		:: else -> rr = (BOUND -> m.se : 0)
		fi;
		r.h = A; r.u = (NOSHORT && m.bound -> max(m.until, m.x) : m.until); r.t++; r.wb = 0; r.wu = 0;
		res = OK; rx = r.t; T("  lease applied")
	:: m.k == LEASE && r.t >= TOK -> skip
	:: m.k == LEASE && r.t < TOK && !(r.u < m.now) && r.h == A && !(m.bound && r.u == m.x && r.t == m.tok || !m.bound && !BOUND && r.u < m.until) ->
		res = OWN; rx = r.t; rr = r.u; T("  lease refused, own row")
	:: m.k == RENEW && r.h == A && r.t == m.tok && r.u <= m.until -> r.u = m.until; res = OK; T("  renewal applied")
	:: m.k == RENEW && r.h == A && r.t == m.tok && r.u > m.until -> res = OK /* a later one got there first */
	:: m.k == RELEASE && mine(m) -> r.h = 0; r.u = m.until; r.wb = 0; r.wu = 0; res = OK; T("  release applied")
	:: m.k == HAND && mine(m) && wished(m.now) -> handOver(m.now); res = OK; T("  handover applied")
	:: else
	fi;
	BND
}
inline zq(i) { c[i].q.k = 0; c[i].q.now = 0; c[i].q.until = 0; c[i].q.tok = 0; c[i].q.x = 0; c[i].q.se = 0; c[i].q.bound = 0; c[i].rep = 0; c[i].rt = 0; c[i].ru = 0; c[i].rf = 0 }
inline toLate(i) { late.k = c[i].q.k; late.now = c[i].q.now; late.until = c[i].q.until; late.tok = c[i].q.tok; late.x = c[i].q.x; late.se = 0; late.bound = c[i].q.bound }
inline forget(i) { c[i].end = 0; c[i].tok = 0; c[i].asked = 0; c[i].rem = 0 }
inline sendLease(i) {
	c[i].end = 0; c[i].q.k = LEASE; c[i].q.now = now; c[i].q.until = now + D;
	if
	:: BOUND && r.h == A && r.u >= now -> c[i].q.bound = 1; c[i].q.x = r.u; c[i].q.tok = r.t; c[i].q.se = (reservedFor(A) -> 0 : r.u)
	:: else
	fi
}
inline gotReply(i) {
	if
	:: c[i].q.k == LEASE && c[i].rep == OK ->
		c[i].tok = c[i].rt; c[i].rem = c[i].ru; c[i].asked = (NOSHORT && c[i].q.bound -> max(c[i].q.until, c[i].q.x) : c[i].q.until);
		c[i].end = (now <= c[i].q.until -> c[i].q.until + 1 : 0); zq(i); EXCL
	:: c[i].q.k == LEASE && c[i].rep == OWN -> /* once more, bound to what was seen */
		c[i].q.bound = 1; c[i].q.x = c[i].ru; c[i].q.tok = c[i].rt;
		c[i].q.se = (c[i].rf -> 0 : c[i].ru); c[i].rep = 0; c[i].rt = 0; c[i].ru = 0; c[i].rf = 0
	:: c[i].q.k == RENEW && c[i].rep == OK ->
		if :: c[i].end && c[i].q.until + 1 > c[i].end -> c[i].end = c[i].q.until + 1 :: else fi; zq(i)
	:: c[i].q.k == RENEW && c[i].rep == NO -> c[i].end = 0; zq(i)
	:: c[i].q.k == RELEASE -> forget(i); zq(i)
	:: c[i].q.k == HAND && c[i].rep == OK -> forget(i); zq(i)
	:: else -> zq(i) /* a refused handover may be followed by a release */
	fi
}
#define STEPS(i) \
	:: d_step { !c[i].q.k && r.t < TOK && (r.t || i == 0) && (r.u < now || r.h == A) -> sendLease(i); T("P sends lease") } \
	:: d_step { !c[i].q.k && c[i].end -> c[i].q.k = RENEW; c[i].q.until = now + D; c[i].q.tok = c[i].tok; c[i].asked = max(c[i].asked, now + D); T("P sends renewal") } \
	:: d_step { !c[i].q.k && c[i].tok -> c[i].end = 0; c[i].q.k = RELEASE; c[i].q.tok = c[i].tok; c[i].q.x = c[i].asked; \
		c[i].q.until = (RELREM && now <= c[i].rem -> c[i].rem : 0); T("P sends release") } \
	:: d_step { !c[i].q.k && c[i].tok && r.wb && (!HANDREM || now > c[i].rem) -> c[i].end = 0; c[i].q.k = HAND; c[i].q.tok = c[i].tok; c[i].q.x = c[i].asked; c[i].q.now = now; T("P sends handover") } \
	:: d_step { c[i].q.k && !c[i].rep -> \
		old = (c[i].q.k == LEASE && KN(i)); rx = (reservedFor(A)); c[i].rf = rx; \
		apply(c[i].q, i, old); c[i].rep = res; c[i].rt = rx; c[i].ru = rr; if :: res != OWN -> c[i].rf = 0 :: else fi; res = 0; rr = 0; rx = 0; old = 0; canon() } \
	:: d_step { c[i].q.k -> apply(c[i].q, i, 0); res = 0; rr = 0; rx = 0; canon() } /* the reply is lost, or it is a repetition */ \
	:: d_step { c[i].rep -> gotReply(i); canon(); T("P has reply") } \
	:: d_step { c[i].q.k -> toLate(i); zq(i); canon(); T("P gives up, the network keeps it") } \
	:: d_step { c[i].q.k -> zq(i); canon(); T("P gives up") } \
	:: d_step { c[i].tok || c[i].q.k -> forget(i); zq(i); T("P crashes") }

active proctype World() {
end: do
	STEPS(0)
	STEPS(1)
	:: d_step { late.k -> apply(late, 0, 0); res = 0; rr = 0; rx = 0; canon() }
	/* the third party */
	:: d_step { r.t < TOK && r.t && (r.u < now || r.h == B) ->
		r.h = B; r.u = now + D; r.t++; r.wb = 0; r.wu = 0; bTok = r.t; bEnd = r.u + 1; T("B leases"); EXCL; canon() }
	:: d_step { bEnd && r.h == B && r.t == bTok && r.u < now + D -> r.u = now + D; bEnd = r.u + 1; T("B renews") }
	:: d_step { bTok && r.h == B && r.t == bTok && wished(now) -> bEnd = 0; bTok = 0; handOver(now); T("B hands over"); BND }
	:: d_step { bTok && r.h == B && r.t == bTok && bEnd -> bEnd = 0; bTok = 0; r.h = 0; r.u = 0; r.wb = 0; r.wu = 0; T("B releases") }
	:: d_step { bTok -> bEnd = 0; bTok = 0; T("B dies") }
	/* wishes */
	:: d_step { WISHES && r.t && (SELF || r.h != A) && r.wb != A -> r.wb = A; r.wu = now + W; T("wish for A") }
	:: d_step { WISHES && r.t && (SELF || r.h != B) && r.wb != B -> r.wb = B; r.wu = now + W; T("wish for B") }
	:: d_step { r.t && r.wb && r.wu != now -> r.wu = now; T("wish's end moved") }
	/* the original */
	:: d_step { ORIG && r.t && (r.u < now || r.h == A) && (r.h != A || r.u != now + D || !oEnd) &&
		!c[0].end && !c[1].end && !c[0].tok && !c[0].q.k && !c[1].tok && !c[1].q.k && (late.k == LEASE || now + D > late.x) ->
		r.h = A; r.u = now + D; oEnd = r.u + 1; T("O leases"); EXCL }
	:: d_step { oEnd -> oEnd = 0; T("O dies") }
	:: d_step { now < HORIZON -> now++;
		if :: c[0].end && now >= c[0].end -> c[0].end = 0 :: else fi;
		if :: c[1].end && now >= c[1].end -> c[1].end = 0 :: else fi;
		if :: bEnd && now >= bEnd -> bEnd = 0 :: else fi;
		if :: oEnd && now >= oEnd -> oEnd = 0 :: else fi;
		canon(); T("tick") }
	od
}
