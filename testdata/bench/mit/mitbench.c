/*
 * mitbench times the C library's GSS-API calls in one process, as the Go
 * benchmarks of gss/krb5 time ours, and prints a line for each:
 *
 *	NAME size=N  CPU nanoseconds per call
 *
 * mitbench file|memory [SECONDS [NAME]]
 *
 * KRB5_CONFIG, KRB5CCNAME, KRB5_KTNAME and KRB5RCACHENAME say where it runs;
 * with "memory" the cache and the keytab are first copied into memory.
 * Credentials are acquired once. NAME runs only the benchmarks of that name.
 *
 * cc -O2 -o mitbench mitbench.c -lgssapi_krb5 -lkrb5
 */
#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>
#include <krb5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SERVICE "host@localhost"
#define ALL_FLAGS (GSS_C_MUTUAL_FLAG | GSS_C_REPLAY_FLAG | GSS_C_SEQUENCE_FLAG | GSS_C_CONF_FLAG | GSS_C_INTEG_FLAG)

static gss_cred_id_t icred, acred;
static gss_name_t target;
static double seconds = 0.3;
static const char *only;

static void check(const char *what, OM_uint32 major, OM_uint32 minor)
{
	OM_uint32 m, ctx = 0;
	gss_buffer_desc text;

	if (!GSS_ERROR(major))
		return;
	gss_display_status(&m, minor, GSS_C_MECH_CODE, GSS_C_NO_OID, &ctx, &text);
	fprintf(stderr, "mitbench: %s: %.*s\n", what, (int)text.length, (char *)text.value);
	exit(1);
}

/* CHECK makes a call that sets minor, and checks it afterwards. */
#define CHECK(what, call)                      \
	do {                                   \
		OM_uint32 major_ = (call);     \
		check((what), major_, minor);  \
	} while (0)

static double cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void initiate(gss_ctx_id_t *ctx, OM_uint32 flags, gss_buffer_t in, gss_buffer_t out)
{
	OM_uint32 minor, major;

	major = gss_init_sec_context(&minor, icred, ctx, target, (gss_OID)gss_mech_krb5, flags, 0,
				     GSS_C_NO_CHANNEL_BINDINGS, in, NULL, out, NULL, NULL);
	check("initiating", major, minor);
}

static void take(gss_ctx_id_t *ctx, gss_buffer_t in, gss_buffer_t out)
{
	OM_uint32 minor, major;

	major = gss_accept_sec_context(&minor, ctx, acred, in, GSS_C_NO_CHANNEL_BINDINGS, NULL, NULL, out, NULL, NULL, NULL);
	check("accepting", major, minor);
}

static void pair(gss_ctx_id_t *i, gss_ctx_id_t *a, OM_uint32 flags)
{
	OM_uint32 minor;
	gss_buffer_desc out = GSS_C_EMPTY_BUFFER, reply = GSS_C_EMPTY_BUFFER, none = GSS_C_EMPTY_BUFFER;

	*i = *a = GSS_C_NO_CONTEXT;
	initiate(i, flags, GSS_C_NO_BUFFER, &out);
	take(a, &out, &reply);
	initiate(i, flags, &reply, &none);
	gss_release_buffer(&minor, &out);
	gss_release_buffer(&minor, &reply);
	gss_release_buffer(&minor, &none);
}

static void delete(gss_ctx_id_t *ctx)
{
	OM_uint32 minor;

	gss_delete_sec_context(&minor, ctx, GSS_C_NO_BUFFER);
}

/* A benchmark's state, and one call of it. */
struct bench {
	gss_ctx_id_t i, a;
	gss_buffer_desc msg, token;
	gss_buffer_desc requests[1000];
	int used;
};

static void context_pair(struct bench *b)
{
	gss_ctx_id_t i, a;

	(void)b;
	pair(&i, &a, ALL_FLAGS);
	delete(&i);
	delete(&a);
}

static void accept_one(struct bench *b)
{
	gss_ctx_id_t a = GSS_C_NO_CONTEXT;
	gss_buffer_desc reply = GSS_C_EMPTY_BUFFER;
	OM_uint32 minor;

	take(&a, &b->requests[b->used++], &reply);
	gss_release_buffer(&minor, &reply);
	delete(&a);
}

static void get_mic(struct bench *b)
{
	OM_uint32 minor;
	gss_buffer_desc mic;

	CHECK("MIC", gss_get_mic(&minor, b->i, GSS_C_QOP_DEFAULT, &b->msg, &mic));
	gss_release_buffer(&minor, &mic);
}

static void verify_mic(struct bench *b)
{
	OM_uint32 minor;

	CHECK("verifying", gss_verify_mic(&minor, b->a, &b->msg, &b->token, NULL));
}

static void wrap(struct bench *b)
{
	OM_uint32 minor;
	gss_buffer_desc out;

	CHECK("wrapping", gss_wrap(&minor, b->i, 1, GSS_C_QOP_DEFAULT, &b->msg, NULL, &out));
	gss_release_buffer(&minor, &out);
}

static void unwrap(struct bench *b)
{
	OM_uint32 minor;
	gss_buffer_desc out;

	CHECK("unwrapping", gss_unwrap(&minor, b->a, &b->token, &out, NULL, NULL));
	gss_release_buffer(&minor, &out);
}

static void run(const char *name, size_t size, struct bench *b, void (*f)(struct bench *))
{
	double start, elapsed;
	long n = 0;

	f(b); /* derive keys, fill caches */
	start = cpu();
	do {
		int k;

		for (k = 0; k < 16; k++)
			f(b);
		n += k;
		elapsed = cpu() - start;
	} while (elapsed < seconds * 1e9);
	printf("%s size=%zu %.1f\n", name, size, elapsed / n);
	fflush(stdout);
}

/* Requests are made outside the time that is measured. */
static void run_accept(struct bench *b)
{
	double elapsed = 0;
	long n = 0;

	while (elapsed < seconds * 1e9) {
		double start;
		OM_uint32 minor;
		int k;

		for (k = 0; k < 1000; k++) {
			gss_ctx_id_t i = GSS_C_NO_CONTEXT;

			initiate(&i, ALL_FLAGS, GSS_C_NO_BUFFER, &b->requests[k]);
			delete(&i);
		}
		b->used = 0;
		start = cpu();
		for (k = 0; k < 1000; k++)
			accept_one(b);
		elapsed += cpu() - start;
		n += k;
		for (k = 0; k < 1000; k++)
			gss_release_buffer(&minor, &b->requests[k]);
	}
	printf("Accept size=0 %.1f\n", elapsed / n);
	fflush(stdout);
}

static void fail(krb5_context ctx, const char *what, krb5_error_code code)
{
	if (code == 0)
		return;
	fprintf(stderr, "mitbench: %s: %s\n", what, krb5_get_error_message(ctx, code));
	exit(1);
}

/* into_memory copies the default cache and keytab and gives their names. */
static void into_memory(gss_key_value_element_desc store[2])
{
	krb5_context ctx;
	krb5_ccache from, to;
	krb5_keytab kfrom, kto;
	krb5_kt_cursor cursor;
	krb5_keytab_entry entry;
	krb5_principal client;

	fail(NULL, "library", krb5_init_context(&ctx));
	fail(ctx, "cache", krb5_cc_default(ctx, &from));
	fail(ctx, "cache", krb5_cc_get_principal(ctx, from, &client));
	fail(ctx, "memory cache", krb5_cc_resolve(ctx, "MEMORY:bench", &to));
	fail(ctx, "memory cache", krb5_cc_initialize(ctx, to, client));
	fail(ctx, "memory cache", krb5_cc_copy_creds(ctx, from, to));
	fail(ctx, "keytab", krb5_kt_default(ctx, &kfrom));
	fail(ctx, "memory keytab", krb5_kt_resolve(ctx, "MEMORY:bench", &kto));
	fail(ctx, "keytab", krb5_kt_start_seq_get(ctx, kfrom, &cursor));
	while (krb5_kt_next_entry(ctx, kfrom, &entry, &cursor) == 0)
		fail(ctx, "memory keytab", krb5_kt_add_entry(ctx, kto, &entry));
	krb5_kt_end_seq_get(ctx, kfrom, &cursor);
	store[0].key = "ccache";
	store[0].value = "MEMORY:bench";
	store[1].key = "keytab";
	store[1].value = "MEMORY:bench";
}

static int wanted(const char *name)
{
	return only == NULL || strcmp(only, name) == 0;
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = { 64, 1024, 16384, 65536, 1 << 20 };
	static struct bench b;
	gss_key_value_element_desc elements[2];
	gss_key_value_set_desc store = { 0, elements };
	gss_buffer_desc name = { sizeof(SERVICE) - 1, SERVICE };
	gss_name_t service;
	OM_uint32 minor;
	size_t k;

	if (argc < 2 || (strcmp(argv[1], "file") != 0 && strcmp(argv[1], "memory") != 0)) {
		fprintf(stderr, "usage: mitbench file|memory [seconds [name]]\n");
		return 2;
	}
	if (argc > 2)
		seconds = atof(argv[2]);
	if (argc > 3)
		only = argv[3];
	if (strcmp(argv[1], "memory") == 0) {
		into_memory(elements);
		store.count = 2;
	}
	CHECK("name", gss_import_name(&minor, &name, GSS_C_NT_HOSTBASED_SERVICE, &target));
	CHECK("name", gss_import_name(&minor, &name, GSS_C_NT_HOSTBASED_SERVICE, &service));
	CHECK("initiator", gss_acquire_cred_from(&minor, GSS_C_NO_NAME, 0, GSS_C_NO_OID_SET, GSS_C_INITIATE,
						 store.count ? &store : GSS_C_NO_CRED_STORE, &icred, NULL, NULL));
	CHECK("acceptor", gss_acquire_cred_from(&minor, service, 0, GSS_C_NO_OID_SET, GSS_C_ACCEPT,
						store.count ? &store : GSS_C_NO_CRED_STORE, &acred, NULL, NULL));

	if (wanted("ContextPair"))
		run("ContextPair", 0, &b, context_pair);
	if (wanted("Accept"))
		run_accept(&b);
	for (k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		b.msg.length = sizes[k];
		b.msg.value = calloc(1, sizes[k]);
		pair(&b.i, &b.a, ALL_FLAGS);
		if (wanted("GetMIC"))
			run("GetMIC", sizes[k], &b, get_mic);
		if (wanted("Wrap"))
			run("Wrap", sizes[k], &b, wrap);
		delete(&b.i);
		delete(&b.a);
		/* One token, checked again and again: no replay detection. */
		pair(&b.i, &b.a, GSS_C_MUTUAL_FLAG | GSS_C_CONF_FLAG | GSS_C_INTEG_FLAG);
		if (wanted("VerifyMIC")) {
			CHECK("MIC", gss_get_mic(&minor, b.i, GSS_C_QOP_DEFAULT, &b.msg, &b.token));
			run("VerifyMIC", sizes[k], &b, verify_mic);
			gss_release_buffer(&minor, &b.token);
		}
		if (wanted("Unwrap")) {
			CHECK("wrapping", gss_wrap(&minor, b.i, 1, GSS_C_QOP_DEFAULT, &b.msg, NULL, &b.token));
			run("Unwrap", sizes[k], &b, unwrap);
			gss_release_buffer(&minor, &b.token);
		}
		delete(&b.i);
		delete(&b.a);
		free(b.msg.value);
	}
	return 0;
}
