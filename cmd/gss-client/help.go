package main

const help = `Usage: gss-client [options] host service message
       gss-client [options] host service -f file
       gss-client [options] --size S host service

Connect to a gss-server, establish a Kerberos security context with it, send
the message encrypted, and verify the MIC of it that the server sends back.

host is where to connect to. service is a host-based service, service@host,
such as host@server.example.org: whom the server must prove to be. Without
@host it stands for that service on this machine.

Options, with one dash or two, go before the host; after the service only -f.
"--" ends options.

  -port N      port to connect to (4444)
  -mech M      mechanism: kerberos_v5, krb5, spnego, or its OID, dotted or in
               braces (kerberos_v5)
  -krb5        the same as -mech krb5
  -spnego      the same as -mech spnego: negotiate the mechanism
  -d           delegate the credential: the server can act as the user
  -dce         establish the context in DCE's style, in three legs
  -user U      user to be, instead of the credential cache's own
  -pass P      get U's ticket with this password, into memory only. Everybody on
               this machine can see it on the command line: for tests only
  -seq         end the session when answers come out of order
  -noreplay    do without detection of replayed answers
  -nomutual    do not have the server prove who it is
  -f           the message is the name of a file; its content is sent
  -q           print nothing but errors
  -ccount N    make N connections, one after the other (1)
  -mcount N    send the message N times on each (1)
  -v1          speak version 1 of the protocol, Sun's
  -na          no authentication: no context and no protection
  -nw          do not wrap the message: it is sent readable and unprotected
  -nx          do not encrypt the message: it is sent readable
  -nm          ask for no MIC
  --timeout D  time limit of connecting, and of each answer (30s)
  --version    print the version
  --help       print this

Any of these makes a load test of it, with -ccount connections of -mcount
messages each, and prints throughput, latencies and errors at the end:

  --concurrency C  keep C connections at a time (1)
  --duration D     end after D, such as 30s; -ccount and -mcount, unless given,
                   are then without bound
  --rate R         send R messages a second over all connections, on a schedule
                   from which latency counts, whether the server keeps up or not
  --size S         send S bytes instead of a message on the command line
  --json           print the summary as JSON, times in seconds

Without --duration, -ccount is as large as --concurrency unless given. Ctrl-C
ends the test and prints the summary.

-iakerb is not in this version yet: exit 2.

Exit status:
  0  all that was asked for was done: every message was answered, and unless
     -nm or -na was given every MIC was verified
  1  something failed, or was interrupted
  2  the command line makes no sense

Examples:
  kinit alice && gss-client server.example.org host@server.example.org "hello"
  gss-client -port 5555 -seq -mcount 5 localhost host@localhost "five times"
  gss-client localhost host@localhost -f document.pdf
  gss-client --concurrency 8 --duration 10s --size 1024 localhost host@localhost
  gss-client -nx -q ::1 host@localhost "readable, but protected"

Environment: KRB5CCNAME names the credential cache, KRB5_CONFIG krb5.conf.
`
