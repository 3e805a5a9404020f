/*
 * Probes: with PROBES, the run prints the names of those that it reached. They are no part of the
 * state. Each model numbers its own, below 32.
 */

#ifdef PROBES
c_decl {
	static const char *probes[32];
	static void __attribute__((destructor)) print_probes(void)
	{
		int p;
		printf("probes reached:");
		for (p = 0; p < 32; p++)
			if (probes[p])
				printf(" %s", probes[p]);
		printf("\n");
	}
}
#define reached(p) c_code { probes[p] = #p; }
#else
#define reached(p) skip
#endif
