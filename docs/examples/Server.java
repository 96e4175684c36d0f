import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsParameters;
import com.sun.net.httpserver.HttpsServer;
import io.spiffe.provider.SpiffeSslContextFactory;
import io.spiffe.provider.SpiffeSslContextFactory.SslContextOptions;
import io.spiffe.spiffeid.SpiffeId;
import io.spiffe.workloadapi.DefaultX509Source;
import java.net.InetSocketAddress;
import java.util.Set;

public class Server {
    public static void main(String[] args) throws Exception {
        // The socket is the one that SPIFFE_ENDPOINT_SOCKET names; the source follows every rotation.
        var caller = SpiffeId.parse(System.getenv("ALLOWED_ID"));
        var options = SslContextOptions.builder()
            .x509Source(DefaultX509Source.newSource())
            .acceptedSpiffeIdsSupplier(() -> Set.of(caller))
            .build();
        var context = SpiffeSslContextFactory.getSslContext(options);
        var address = new InetSocketAddress(Integer.parseInt(System.getenv("PORT")));
        var server = HttpsServer.create(address, 0);
        server.setHttpsConfigurator(new HttpsConfigurator(context) {
            @Override
            public void configure(HttpsParameters parameters) {
                var ssl = getSSLContext().getDefaultSSLParameters();
                ssl.setNeedClientAuth(true);
                parameters.setSSLParameters(ssl);
            }
        });
        server.createContext("/", exchange -> {
            byte[] answer = ("hello " + caller + "\n").getBytes();
            exchange.sendResponseHeaders(200, answer.length);
            exchange.getResponseBody().write(answer);
            exchange.close();
        });
        server.start();
    }
}
