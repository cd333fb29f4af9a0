/* <errno.h> (C11, 7.5): set only by the strto* functions. A service VM's runtime has one thread, so it is a
 * plain variable. */
#ifndef RUNTIME_ERRNO_H
#define RUNTIME_ERRNO_H

extern int errno;

#define EDOM   33
#define ERANGE 34
#define EINVAL 22
#define ENOMEM 12

#endif
