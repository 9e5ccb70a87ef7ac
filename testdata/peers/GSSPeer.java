import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

import javax.security.auth.login.AppConfigurationEntry;
import javax.security.auth.login.AppConfigurationEntry.LoginModuleControlFlag;
import javax.security.auth.login.Configuration;

import com.sun.security.jgss.ExtendedGSSContext;
import com.sun.security.jgss.InquireType;

import org.ietf.jgss.ChannelBinding;
import org.ietf.jgss.GSSContext;
import org.ietf.jgss.GSSCredential;
import org.ietf.jgss.GSSException;
import org.ietf.jgss.GSSManager;
import org.ietf.jgss.GSSName;
import org.ietf.jgss.MessageProp;
import org.ietf.jgss.Oid;

/**
 * One end of GSS-API contexts made by Java's own mechanism, driven over standard
 * input and output in the protocol that gsspeer.c describes. Of that one's
 * commands it lacks those that Java has no call for: prf, store and
 * wrapiov.
 *
 * <pre>
 * javac GSSPeer.java
 * java GSSPeer
 * </pre>
 *
 * KRB5_CONFIG, KRB5CCNAME and KRB5_KTNAME name its files, as they do for the C
 * libraries.
 */
final class GSSPeer {
    private static final int MAX_STRINGS = 8;
    private static final int MAX_LENGTH = 1 << 26;

    // RFC 2744, section 5.19 and appendix A.
    private static final int DELEG = 1, MUTUAL = 2, REPLAY = 4, SEQUENCE = 8, CONF = 16, INTEG = 32;

    private final GSSManager manager = GSSManager.getInstance();
    private final DataInputStream in = new DataInputStream(new BufferedInputStream(System.in));
    private final DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out));

    private GSSContext context;
    private boolean initiator;
    private GSSCredential onward; // for the next init

    public static void main(String[] args) throws IOException {
        System.setProperty("java.security.krb5.conf", System.getenv("KRB5_CONFIG"));
        System.setProperty("javax.security.auth.useSubjectCredsOnly", "false");
        Configuration.setConfiguration(new Login());
        new GSSPeer().run();
    }

    /** Tickets from the cache to initiate, keys from the keytab to accept. */
    private static final class Login extends Configuration {
        @Override
        public AppConfigurationEntry[] getAppConfigurationEntry(String name) {
            Map<String, String> options;
            if (name.endsWith(".accept")) {
                options = Map.of("useKeyTab", "true", "keyTab", path("KRB5_KTNAME"), "storeKey", "true",
                        "principal", "*", "isInitiator", "false", "doNotPrompt", "true");
            } else {
                options = Map.of("useTicketCache", "true", "ticketCache", path("KRB5CCNAME"), "doNotPrompt", "true");
            }
            return new AppConfigurationEntry[] {
                new AppConfigurationEntry("com.sun.security.auth.module.Krb5LoginModule", LoginModuleControlFlag.REQUIRED, options)
            };
        }

        private static String path(String variable) {
            String name = System.getenv(variable);
            return name.startsWith("FILE:") ? name.substring("FILE:".length()) : name;
        }
    }

    private void run() throws IOException {
        for (;;) {
            List<byte[]> request;
            try {
                request = readRequest();
            } catch (EOFException e) {
                return;
            }
            try {
                reply("ok", call(request));
            } catch (GSSException e) {
                reply("error", List.of(number(major(e)), text(describe(e)), new byte[0])); // Java makes no error tokens
            }
        }
    }

    /** Gives the routine error with RFC 2744's number. Java's own are in alphabetical order. */
    private static int major(GSSException e) {
        switch (e.getMajor()) {
        case GSSException.BAD_MECH:
            return 1 << 16;
        case GSSException.BAD_BINDINGS:
            return 4 << 16;
        case GSSException.BAD_MIC:
            return 6 << 16;
        case GSSException.NO_CRED:
            return 7 << 16;
        case GSSException.NO_CONTEXT:
            return 8 << 16;
        case GSSException.DEFECTIVE_TOKEN:
            return 9 << 16;
        default:
            return 13 << 16; // GSS_S_FAILURE; the text tells more
        }
    }

    private static String describe(Throwable e) {
        StringBuilder s = new StringBuilder();
        for (; e != null; e = e.getCause()) {
            s.append(s.length() == 0 ? "" : ": ").append(e.getMessage());
        }
        return s.toString();
    }

    private List<byte[]> readRequest() throws IOException {
        int count = in.readInt();
        if (count < 1 || count > MAX_STRINGS) {
            throw new IOException("malformed request");
        }
        List<byte[]> request = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            int length = in.readInt();
            if (length < 0 || length > MAX_LENGTH) {
                throw new IOException("malformed request");
            }
            request.add(in.readNBytes(length));
        }
        return request;
    }

    private void reply(String status, List<byte[]> results) throws IOException {
        out.writeInt(1 + results.size());
        write(text(status));
        for (byte[] result : results) {
            write(result);
        }
        out.flush();
    }

    private void write(byte[] b) throws IOException {
        out.writeInt(b.length);
        out.write(b);
    }

    private static byte[] text(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }

    private static byte[] number(int n) {
        return text(Integer.toString(n));
    }

    private List<byte[]> call(List<byte[]> r) throws GSSException, IOException {
        switch (word(r, 0)) {
        case "init":
            init(r);
            return List.of();
        case "accept":
            accept(r);
            return List.of();
        case "step":
            return step(r.get(1));
        case "inquire":
            return List.of(number(flags()), principal(context.getSrcName()), principal(context.getTargName()));
        case "wrap": {
            MessageProp prop = new MessageProp(0, word(r, 1).equals("1"));
            return List.of(context.wrap(r.get(2), 0, r.get(2).length, prop));
        }
        case "unwrap": {
            MessageProp prop = new MessageProp(0, false);
            byte[] message = context.unwrap(r.get(1), 0, r.get(1).length, prop);
            return List.of(message, number(prop.getPrivacy() ? 1 : 0), number(status(prop)));
        }
        case "mic":
            return List.of(context.getMIC(r.get(1), 0, r.get(1).length, new MessageProp(0, false)));
        case "verify": {
            MessageProp prop = new MessageProp(0, false);
            context.verifyMIC(r.get(2), 0, r.get(2).length, r.get(1), 0, r.get(1).length, prop);
            return List.of(number(status(prop)));
        }
        case "limit":
            // Java goes on below zero.
            return List.of(number(Math.max(0, context.getWrapSizeLimit(0, word(r, 1).equals("1"), Integer.parseInt(word(r, 2))))));
        case "key": {
            Object key = ((ExtendedGSSContext) context).inquireSecContext(InquireType.KRB5_GET_SESSION_KEY_EX);
            return List.of(((java.security.Key) key).getEncoded());
        }
        case "names":
            return List.of(export(context.getSrcName()), export(context.getTargName()));
        case "delegated":
            onward = context.getDelegCred();
            return List.of(text(onward.getName().toString()));
        default:
            throw new IOException("unknown command " + word(r, 0));
        }
    }

    private static String word(List<byte[]> r, int i) {
        return new String(r.get(i), StandardCharsets.UTF_8);
    }

    private static Oid mechanism(String name) throws GSSException, IOException {
        switch (name) {
        case "krb5":
            return new Oid("1.2.840.113554.1.2.2");
        case "spnego":
            return new Oid("1.3.6.1.5.5.2");
        default:
            throw new IOException("unknown mechanism " + name);
        }
    }

    private static byte[] export(GSSName name) throws GSSException, IOException {
        return name.canonicalize(mechanism("krb5")).export();
    }

    /** Gives a name as its principal. Displayed, it would be what was imported. */
    private static byte[] principal(GSSName name) throws GSSException, IOException {
        byte[] exported = export(name);
        int start = 4 + 11 + 4; // identifier and length, the mechanism, the name's length
        return Arrays.copyOfRange(exported, start, exported.length);
    }

    private void init(List<byte[]> r) throws GSSException, IOException {
        Oid mech = mechanism(word(r, 1));
        GSSName target = manager.createName(word(r, 2), GSSName.NT_HOSTBASED_SERVICE);
        int flags = Integer.parseInt(word(r, 3));
        initiator = true;
        context = manager.createContext(target, mech, onward, GSSContext.DEFAULT_LIFETIME);
        onward = null;
        context.requestCredDeleg((flags & DELEG) != 0);
        context.requestMutualAuth((flags & MUTUAL) != 0);
        context.requestReplayDet((flags & REPLAY) != 0);
        context.requestSequenceDet((flags & SEQUENCE) != 0);
        context.requestConf((flags & CONF) != 0);
        context.requestInteg((flags & INTEG) != 0);
        if (r.size() > 4) {
            context.setChannelBinding(new ChannelBinding(r.get(4)));
        }
    }

    private void accept(List<byte[]> r) throws GSSException, IOException {
        Oid mech = mechanism(word(r, 1));
        GSSName name = null;
        if (!word(r, 2).isEmpty()) {
            name = manager.createName(word(r, 2), GSSName.NT_HOSTBASED_SERVICE);
        }
        initiator = false;
        context = manager.createContext(manager.createCredential(name, GSSCredential.INDEFINITE_LIFETIME, mech, GSSCredential.ACCEPT_ONLY));
        if (r.size() > 3) {
            context.setChannelBinding(new ChannelBinding(r.get(3)));
        }
    }

    private List<byte[]> step(byte[] token) throws GSSException {
        byte[] reply = initiator ? context.initSecContext(token, 0, token.length) : context.acceptSecContext(token, 0, token.length);
        return List.of(text(context.isEstablished() ? "complete" : "continue"), reply == null ? new byte[0] : reply);
    }

    private int flags() {
        return (context.getCredDelegState() ? DELEG : 0)
                | (context.getMutualAuthState() ? MUTUAL : 0)
                | (context.getReplayDetState() ? REPLAY : 0)
                | (context.getSequenceDetState() ? SEQUENCE : 0)
                | (context.getConfState() ? CONF : 0)
                | (context.getIntegState() ? INTEG : 0);
    }

    private static int status(MessageProp prop) {
        return (prop.isDuplicateToken() ? 2 : 0) | (prop.isOldToken() ? 4 : 0)
                | (prop.isUnseqToken() ? 8 : 0) | (prop.isGapToken() ? 16 : 0);
    }
}
