/*
 * gsspeer is one end of GSS-API contexts, made by the C library that it is
 * linked with and driven over standard input and output by a test.
 *
 *	cc -o gsspeer gsspeer.c $(krb5-config.mit --cflags --libs gssapi)
 *	cc -o gsspeer -DHEIMDAL gsspeer.c $(krb5-config.heimdal --cflags --libs gssapi)
 *
 * A request is a list of octet strings, of which the first is a command; so is
 * the reply, of which the first is "ok" or "error". A list is a 32-bit count
 * followed by each string's 32-bit length and octets, numbers big endian.
 * Numbers among the strings are decimal text. After "error" come major status,
 * text and, of a step, the error token.
 *
 *	init MECH SERVICE@HOST FLAGS [BINDINGS]   a context to initiate
 *	accept MECH SERVICE@HOST [BINDINGS]       a context to accept; the name may be empty
 *	step TOKEN             -> complete|continue TOKEN
 *	inquire                -> FLAGS INITIATOR ACCEPTOR
 *	wrap SEAL MESSAGE      -> TOKEN
 *	unwrap TOKEN           -> MESSAGE SEALED STATUS
 *	wrapiov SEAL MESSAGE   -> TOKEN, by gss_wrap_iov as for DCE RPC, which rotates it
 *	mic MESSAGE            -> TOKEN
 *	verify MESSAGE TOKEN   -> STATUS
 *	limit SEAL SIZE        -> SIZE
 *	prf full|partial INPUT SIZE -> OCTETS
 *	key                    -> OCTETS, the session key
 *	names                  -> INITIATOR ACCEPTOR as gss_export_name has them
 *	delegated              -> NAME; the next init uses the delegated credential
 *	store CACHE            puts the delegated credential into a cache
 *
 * STATUS is the supplementary information of RFC 2744, section 3.9.1: 0, or the
 * bits of duplicate (2), old (4), out of sequence (8) and gap (16). Nothing is
 * ever freed: a process lives as long as a test.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gssapi/gssapi.h>
#include <gssapi/gssapi_krb5.h>
#ifdef HEIMDAL
#include <gssapi/gssapi_spnego.h>
#include <krb5.h>
#else
#include <gssapi/gssapi_ext.h>
#endif

enum { MAX_STRINGS = 8, MAX_LENGTH = 1 << 26 };

static gss_OID_desc krb5_mech = { 9, "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02" };
static gss_OID_desc spnego_mech = { 6, "\x2b\x06\x01\x05\x05\x02" };
static gss_OID_desc iakerb_mech = { 6, "\x2b\x06\x01\x05\x02\x05" };

/* GSS_C_INQ_SSPI_SESSION_KEY: both libraries declare it, Heimdal 7 without having it. */
static gss_OID_desc session_key = { 11, "\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x05\x05" };

/* The one context, and what it is made of. */
static struct {
	gss_ctx_id_t ctx;
	int initiator;
	gss_OID mech;
	gss_name_t target;
	OM_uint32 flags;
	gss_cred_id_t cred;      /* to initiate or accept with */
	gss_cred_id_t delegated; /* that the initiator delegated */
	struct gss_channel_bindings_struct bindings;
	int bound;
} sec;

static gss_cred_id_t onward = GSS_C_NO_CREDENTIAL; /* for the next init */

static void die(const char *why)
{
	fprintf(stderr, "gsspeer: %s\n", why);
	exit(2);
}

/* Requests and replies. */

static int read_number(uint32_t *n)
{
	unsigned char b[4];

	if (fread(b, 1, sizeof b, stdin) != sizeof b)
		return 0;
	*n = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
	return 1;
}

static void write_number(uint32_t n)
{
	putchar(n >> 24 & 0xff);
	putchar(n >> 16 & 0xff);
	putchar(n >> 8 & 0xff);
	putchar(n & 0xff);
}

/* Reads a request; every string gets a NUL behind it. */
static uint32_t read_request(gss_buffer_desc *args)
{
	uint32_t count, i, length;

	if (!read_number(&count))
		exit(0);
	if (count == 0 || count > MAX_STRINGS)
		die("malformed request");
	for (i = 0; i < count; i++) {
		if (!read_number(&length) || length > MAX_LENGTH)
			die("malformed request");
		args[i].length = length;
		args[i].value = calloc(1, (size_t)length + 1);
		if (args[i].value == NULL || fread(args[i].value, 1, length, stdin) != length)
			die("truncated request");
	}
	return count;
}

static gss_buffer_desc text(const char *s)
{
	gss_buffer_desc b;

	b.value = strdup(s);
	b.length = strlen(s);
	return b;
}

static gss_buffer_desc number(OM_uint32 n)
{
	char s[16];

	snprintf(s, sizeof s, "%lu", (unsigned long)n);
	return text(s);
}

static void reply(const char *status, int count, const gss_buffer_desc *results)
{
	gss_buffer_desc first = text(status);
	int i;

	write_number(count + 1);
	for (i = -1; i < count; i++) {
		const gss_buffer_desc *b = i < 0 ? &first : &results[i];

		write_number(b->length);
		fwrite(b->value, 1, b->length, stdout);
	}
	fflush(stdout);
}

static void append_status(char *s, size_t size, OM_uint32 code, int type)
{
	OM_uint32 minor, more = 0;
	gss_buffer_desc message;

	do {
		if (GSS_ERROR(gss_display_status(&minor, code, type, sec.mech, &more, &message)))
			return;
		snprintf(s + strlen(s), size - strlen(s), "%s%.*s", *s ? ": " : "",
			 (int)message.length, (char *)message.value);
	} while (more != 0);
}

static void fail(OM_uint32 major, OM_uint32 minor, gss_buffer_desc token)
{
	char s[1024] = "";
	gss_buffer_desc results[3];

	append_status(s, sizeof s, major, GSS_C_GSS_CODE);
	append_status(s, sizeof s, minor, GSS_C_MECH_CODE);
	results[0] = number(major);
	results[1] = text(s);
	results[2] = token;
	reply("error", 3, results);
}

static const gss_buffer_desc none = { 0, "" };

/* Commands. Each gives the number of results, or -1 when the library failed. */

static OM_uint32 major, minor;
static gss_buffer_desc results[3];

static gss_OID mechanism(const char *name)
{
	if (strcmp(name, "krb5") == 0)
		return &krb5_mech;
	if (strcmp(name, "spnego") == 0)
		return &spnego_mech;
	if (strcmp(name, "iakerb") == 0)
		return &iakerb_mech;
	die("unknown mechanism");
	return NULL;
}

static void reset(const char *mech, int bound, gss_buffer_desc bindings)
{
	memset(&sec, 0, sizeof sec);
	sec.mech = mechanism(mech);
	sec.bound = bound;
	sec.bindings.application_data = bindings;
}

static int import_service(gss_buffer_desc name, gss_name_t *out)
{
	*out = GSS_C_NO_NAME;
	if (name.length == 0)
		return 1;
	major = gss_import_name(&minor, &name, GSS_C_NT_HOSTBASED_SERVICE, out);
	return !GSS_ERROR(major);
}

static int do_init(uint32_t count, gss_buffer_desc *args)
{
	reset(args[1].value, count > 4, count > 4 ? args[4] : none);
	sec.initiator = 1;
	sec.flags = strtoul(args[3].value, NULL, 10);
	sec.cred = onward;
	onward = GSS_C_NO_CREDENTIAL;
	return import_service(args[2], &sec.target) ? 0 : -1;
}

static int do_accept(uint32_t count, gss_buffer_desc *args)
{
	gss_name_t name;
	gss_OID_set_desc mechs;

	reset(args[1].value, count > 3, count > 3 ? args[3] : none);
	if (!import_service(args[2], &name))
		return -1;
	mechs.count = 1;
	mechs.elements = sec.mech;
	major = gss_acquire_cred(&minor, name, GSS_C_INDEFINITE, &mechs, GSS_C_ACCEPT, &sec.cred, NULL, NULL);
	return GSS_ERROR(major) ? -1 : 0;
}

static int do_step(uint32_t count, gss_buffer_desc *args)
{
	struct gss_channel_bindings_struct *bindings = sec.bound ? &sec.bindings : GSS_C_NO_CHANNEL_BINDINGS;

	(void)count;
	results[1] = none;
	if (sec.initiator)
		major = gss_init_sec_context(&minor, sec.cred, &sec.ctx, sec.target, sec.mech, sec.flags, 0, bindings,
					     &args[1], NULL, &results[1], NULL, NULL);
	else
		major = gss_accept_sec_context(&minor, &sec.ctx, sec.cred, &args[1], bindings, NULL, NULL, &results[1],
					       &sec.flags, NULL, &sec.delegated);
	results[0] = text(major & GSS_S_CONTINUE_NEEDED ? "continue" : "complete");
	return GSS_ERROR(major) ? -1 : 2;
}

static int do_inquire(uint32_t count, gss_buffer_desc *args)
{
	gss_name_t initiator, acceptor;
	OM_uint32 flags;

	(void)count, (void)args;
	major = gss_inquire_context(&minor, sec.ctx, &initiator, &acceptor, NULL, NULL, &flags, NULL, NULL);
	if (GSS_ERROR(major))
		return -1;
#ifndef HEIMDAL
	/* MIT's library tells of equal bindings in the flags of accept alone. */
	flags |= sec.flags & GSS_C_CHANNEL_BOUND_FLAG;
#endif
	results[0] = number(flags);
	major = gss_display_name(&minor, initiator, &results[1], NULL);
	if (GSS_ERROR(major))
		return -1;
	major = gss_display_name(&minor, acceptor, &results[2], NULL);
	return GSS_ERROR(major) ? -1 : 3;
}

static int do_wrap(uint32_t count, gss_buffer_desc *args)
{
	(void)count;
	major = gss_wrap(&minor, sec.ctx, atoi(args[1].value), GSS_C_QOP_DEFAULT, &args[2], NULL, &results[0]);
	return GSS_ERROR(major) ? -1 : 1;
}

static int do_unwrap(uint32_t count, gss_buffer_desc *args)
{
	int sealed = 0;

	(void)count;
	major = gss_unwrap(&minor, sec.ctx, &args[1], &results[0], &sealed, NULL);
	results[1] = number(sealed);
	results[2] = number(GSS_SUPPLEMENTARY_INFO(major));
	return GSS_ERROR(major) ? -1 : 3;
}

static int do_wrapiov(uint32_t count, gss_buffer_desc *args)
{
	gss_iov_buffer_desc iov[3];
	char *p;
	int i;

	(void)count;
	memset(iov, 0, sizeof iov);
	iov[0].type = GSS_IOV_BUFFER_TYPE_HEADER | GSS_IOV_BUFFER_FLAG_ALLOCATE;
	iov[1].type = GSS_IOV_BUFFER_TYPE_DATA;
	iov[1].buffer = args[2];
	iov[2].type = GSS_IOV_BUFFER_TYPE_PADDING | GSS_IOV_BUFFER_FLAG_ALLOCATE;
	major = gss_wrap_iov(&minor, sec.ctx, atoi(args[1].value), GSS_C_QOP_DEFAULT, NULL, iov, 3);
	if (GSS_ERROR(major))
		return -1;
	results[0].length = iov[0].buffer.length + iov[1].buffer.length + iov[2].buffer.length;
	results[0].value = p = malloc(results[0].length);
	if (p == NULL)
		die("no memory");
	for (i = 0; i < 3; p += iov[i++].buffer.length)
		memcpy(p, iov[i].buffer.value, iov[i].buffer.length);
	return 1;
}

static int do_mic(uint32_t count, gss_buffer_desc *args)
{
	(void)count;
	major = gss_get_mic(&minor, sec.ctx, GSS_C_QOP_DEFAULT, &args[1], &results[0]);
	return GSS_ERROR(major) ? -1 : 1;
}

static int do_verify(uint32_t count, gss_buffer_desc *args)
{
	(void)count;
	major = gss_verify_mic(&minor, sec.ctx, &args[1], &args[2], NULL);
	results[0] = number(GSS_SUPPLEMENTARY_INFO(major));
	return GSS_ERROR(major) ? -1 : 1;
}

static int do_limit(uint32_t count, gss_buffer_desc *args)
{
	OM_uint32 size;

	(void)count;
	major = gss_wrap_size_limit(&minor, sec.ctx, atoi(args[1].value), GSS_C_QOP_DEFAULT,
				    strtoul(args[2].value, NULL, 10), &size);
	results[0] = number(size);
	return GSS_ERROR(major) ? -1 : 1;
}

static int do_prf(uint32_t count, gss_buffer_desc *args)
{
	int key = strcmp(args[1].value, "full") == 0 ? GSS_C_PRF_KEY_FULL : GSS_C_PRF_KEY_PARTIAL;

	(void)count;
	major = gss_pseudo_random(&minor, sec.ctx, key, &args[2], strtol(args[3].value, NULL, 10), &results[0]);
	return GSS_ERROR(major) ? -1 : 1;
}

static int do_key(uint32_t count, gss_buffer_desc *args)
{
	gss_buffer_set_t set;

	(void)count, (void)args;
	major = gss_inquire_sec_context_by_oid(&minor, sec.ctx, &session_key, &set);
	if (GSS_ERROR(major))
		return -1;
	if (set->count == 0)
		die("no session key");
	results[0] = set->elements[0];
	return 1;
}

static int export_name(gss_name_t name, gss_buffer_desc *out)
{
	gss_name_t canonical;

	major = gss_canonicalize_name(&minor, name, &krb5_mech, &canonical);
	if (GSS_ERROR(major))
		return 0;
	major = gss_export_name(&minor, canonical, out);
	return !GSS_ERROR(major);
}

static int do_names(uint32_t count, gss_buffer_desc *args)
{
	gss_name_t initiator, acceptor;

	(void)count, (void)args;
	major = gss_inquire_context(&minor, sec.ctx, &initiator, &acceptor, NULL, NULL, NULL, NULL, NULL);
	if (GSS_ERROR(major))
		return -1;
	return export_name(initiator, &results[0]) && export_name(acceptor, &results[1]) ? 2 : -1;
}

static int do_delegated(uint32_t count, gss_buffer_desc *args)
{
	gss_name_t name;

	(void)count, (void)args;
	major = gss_inquire_cred(&minor, sec.delegated, &name, NULL, NULL, NULL);
	if (GSS_ERROR(major))
		return -1;
	onward = sec.delegated;
	major = gss_display_name(&minor, name, &results[0], NULL);
	return GSS_ERROR(major) ? -1 : 1;
}

static int do_store(uint32_t count, gss_buffer_desc *args)
{
#ifdef HEIMDAL
	krb5_context context;
	krb5_ccache cache;

	(void)count;
	if (krb5_init_context(&context) != 0 || krb5_cc_resolve(context, args[1].value, &cache) != 0)
		die("cannot open the cache");
	major = gss_krb5_copy_ccache(&minor, sec.delegated, cache);
	return GSS_ERROR(major) ? -1 : 0;
#else
	gss_key_value_element_desc element = { "ccache", args[1].value };
	gss_key_value_set_desc store = { 1, &element };

	(void)count;
	major = gss_store_cred_into(&minor, sec.delegated, GSS_C_INITIATE, &krb5_mech, 1, 0, &store, NULL, NULL);
	return GSS_ERROR(major) ? -1 : 0;
#endif
}

static const struct {
	const char *name;
	uint32_t strings; /* at least, itself included */
	int (*call)(uint32_t count, gss_buffer_desc *args);
} commands[] = {
	{ "init", 4, do_init },
	{ "accept", 3, do_accept },
	{ "step", 2, do_step },
	{ "inquire", 1, do_inquire },
	{ "wrap", 3, do_wrap },
	{ "unwrap", 2, do_unwrap },
	{ "wrapiov", 3, do_wrapiov },
	{ "mic", 2, do_mic },
	{ "verify", 3, do_verify },
	{ "limit", 3, do_limit },
	{ "prf", 4, do_prf },
	{ "key", 1, do_key },
	{ "names", 1, do_names },
	{ "delegated", 1, do_delegated },
	{ "store", 2, do_store },
};

int main(void)
{
	gss_buffer_desc args[MAX_STRINGS];

	for (;;) {
		uint32_t count = read_request(args);
		size_t i;
		int n;

		for (i = 0; i < sizeof commands / sizeof commands[0]; i++)
			if (strcmp(commands[i].name, args[0].value) == 0)
				break;
		if (i == sizeof commands / sizeof commands[0] || count < commands[i].strings)
			die("unknown command");
		n = commands[i].call(count, args);
		if (n >= 0)
			reply("ok", n, results);
		else
			fail(major, minor, commands[i].call == do_step ? results[1] : none);
	}
}
