/* <assert.h> (C11, 7.2), except that NDEBUG does not turn it off. */
#ifndef RUNTIME_ASSERT_H
#define RUNTIME_ASSERT_H

_Noreturn void runtime_fail_assert(const char *expression, const char *file, int line);

#define assert(expression) ((expression) ? (void)0 : runtime_fail_assert(#expression, __FILE__, __LINE__))
#define static_assert _Static_assert

#endif
