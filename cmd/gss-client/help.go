package main

const help = `Usage: gss-client [options] host service message
       gss-client [options] host service -f file
       gss-client [options] --size S host service
       gss-client --service echo [options] host message
       gss-client --subscribe G --watch [options] host service
       gss-client --publish G | --to U [options] host service message
       gss-client --batch F [options] host service

Connect to a gss-server, establish a Kerberos security context with it, send
the message encrypted, and verify the MIC of it that the server sends back.

host is where to connect to: a name, an address, or a URL, tcp://host:port,
tls://host:port or, with --service echo, dtls://host:port. Over TLS the server's
certificate is verified before anything is sent, and the context is bound to the
connection. service is a host-based service, service@host, such as
host@server.example.org: whom the server must prove to be. Without @host it
stands for that service on this machine.

Options, with one dash or two, go before the host; after the service only -f.
"--" ends options.

  -port N      port to connect to (4444)
  -mech M      mechanism: kerberos_v5, krb5, spnego, iakerb, or its OID, dotted
               or in braces (kerberos_v5)
  -krb5        the same as -mech krb5
  -spnego      the same as -mech spnego: negotiate the mechanism
  -iakerb      the same as -mech iakerb: reach the KDC by way of the server,
               with -user and -pass or with the tickets there are
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
  --service S  sign (the default); echo: send the message without Kerberos,
               print what comes back and compare; datagrams may also be answered
               by "to ADDRESS:PORT: ACK"; push: as below
  --tls-ca F   PEM file of the CAs to trust; the system's unless given
  --tls-cert F, --tls-key F  PEM files: a certificate to show to servers that
               ask for one, and its key, if that is not in the same file
  --tls-pkcs12 F  both in one PKCS#12 file, instead
  --tls-key-passphrase-file F  file with the key's passphrase as its first line
  --psk-identity I, --psk-file F, --psk-weak
               who to be for a dtls:// server, the file with the key, and that a
               key of fewer than 16 bytes is meant
  --tls-min V  the least TLS version: 1.3 (the default) or 1.2
  --bind P     bind the context to the TLS connection: allow (the default: where
               that is possible), require (or fail), off
  --timeout D  time limit of connecting, and of each answer (30s)
  --version    print the version
  --help       print this

These speak to a listener with the push service, and go together. The result of
each operation is printed. To others one is who the context says:

  --subscribe G  subscribe to groups, by their numbers, such as 1,3
  --watch        print what comes until Ctrl-C; connect again when need be
  --publish G    publish the message to groups, subscribed to or not
  --to U         send the message to a user: a principal, or a local user's name
  --batch F      do what the lines of F say, or of standard input, which is -:
                 subscribe 1,3 | leave 1 | publish 1,2 TEXT | to alice TEXT |
                 sign TEXT | wait 2s

With --json, which is below, each result, message and event is a line of JSON.

Any of these makes a load test of it, with -ccount connections of -mcount
messages each, and prints throughput, latencies and errors at the end:

  --concurrency C  keep C connections at a time (1)
  --duration D     end after D, such as 30s; -ccount and -mcount, unless given,
                   are then without bound
  --rate R         send R messages a second over all connections, on a schedule
                   from which latency counts, whether the server keeps up or not
  --size S         send S bytes instead of a message on the command line
  --json           print the summary as JSON, times in seconds; with options of
                   push, lines as said there

Without --duration, -ccount is as large as --concurrency unless given. Ctrl-C
ends the test and prints the summary.

Exit status:
  0  all that was asked for was done: every message was answered, and unless
     -nm or -na was given every MIC was verified; --watch was ended by Ctrl-C
  1  something failed, was interrupted, or was refused by a push server
  2  the command line makes no sense
  3  the server's certificate is not trusted
  4  the server's certificate is for another name
  5  the server's certificate has expired or is not valid yet

Examples:
  kinit alice && gss-client server.example.org host@server.example.org "hello"
  gss-client -port 5555 -seq -mcount 5 localhost host@localhost "five times"
  gss-client localhost host@localhost -f document.pdf
  gss-client --concurrency 8 --duration 10s --size 1024 localhost host@localhost
  gss-client --tls-ca ca.crt --bind require tls://server.example.org:4445 \
      host@server.example.org "hello"
  gss-client --service echo tls://server.example.org:4446 "hello"
  gss-client --subscribe 1,3 --watch tls://server.example.org:4448 \
      host@server.example.org
  gss-client --to bob tls://server.example.org:4448 host@server.example.org "hi"
  gss-client -nx -q ::1 host@localhost "readable, but protected"

Environment: KRB5CCNAME names the credential cache, KRB5_CONFIG krb5.conf.
`
