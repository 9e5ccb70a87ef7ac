/*
 * MIT's gss-server writes a frame in three pieces and leaves Nagle's algorithm
 * on, so that each answer waits for acknowledgements. Preloaded, this gives it
 * what our server has: TCP_NODELAY on every connection that it accepts.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>

int accept(int fd, struct sockaddr *addr, socklen_t *length)
{
	static int (*next)(int, struct sockaddr *, socklen_t *);
	int conn, on = 1;

	if (next == NULL)
		next = (int (*)(int, struct sockaddr *, socklen_t *))dlsym(RTLD_NEXT, "accept");
	conn = next(fd, addr, length);
	if (conn >= 0)
		setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return conn;
}
