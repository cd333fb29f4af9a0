/*
 * What the sources use of gcc that Frama-C does not know, for the proof run only (included before each file). Atomic operations become
 * plain ones: a proof is about one core alone (docs/assurance.md).
 */
#define __atomic_load_n(p, order)         (*(p))
#define __atomic_store_n(p, value, order) ((void)(*(p) = (value)))
#define __atomic_add_fetch(p, n, order)   (*(p) += (n))
#define __atomic_sub_fetch(p, n, order)   (*(p) -= (n))
#define __atomic_and_fetch(p, n, order)   (*(p) &= (n))
#define __atomic_or_fetch(p, n, order)    (*(p) |= (n))
#define __atomic_thread_fence(order)      ((void)0)
#define __atomic_exchange_n(p, value, order) \
	({ \
		__typeof__(*(p)) before = *(p); \
		*(p) = (value); \
		before; \
	})
#define __atomic_fetch_add(p, n, order) \
	({ \
		__typeof__(*(p)) before = *(p); \
		*(p) += (n); \
		before; \
	})
#define __atomic_compare_exchange_n(p, expected, value, weak, success, failure) \
	({ \
		_Bool same = *(p) == *(expected); \
		if (same) \
			*(p) = (value); \
		else \
			*(expected) = *(p); \
		same; \
	})

#define __int128 long long /* none of the proved functions uses it */
