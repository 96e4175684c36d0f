import io.spiffe.bundle.jwtbundle.JwtBundle;
import io.spiffe.bundle.x509bundle.X509Bundle;
import io.spiffe.svid.jwtsvid.JwtSvid;
import io.spiffe.svid.x509svid.X509Svid;
import io.spiffe.workloadapi.DefaultJwtSource;
import io.spiffe.workloadapi.DefaultWorkloadApiClient;
import io.spiffe.workloadapi.DefaultX509Source;
import io.spiffe.workloadapi.JwtSourceOptions;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** A workload on java-spiffe; ../README.md tells its commands. */
public final class Client {
  private static final String AUDIENCE = "signet-test";

  public static void main(String[] args) throws Exception {
    switch (args[0]) {
      case "once" -> once(args[1]);
      case "watch" -> watch(args[1]);
      default -> throw new IllegalArgumentException("usage: Client once|watch SOCKET");
    }
    // The library leaves threads behind.
    System.exit(0);
  }

  private static void once(String socket) throws Exception {
    var options = DefaultWorkloadApiClient.ClientOptions.builder().spiffeSocketPath(socket).build();
    try (var client = DefaultWorkloadApiClient.newClient(options)) {
      List<X509Svid> svids = client.fetchX509Context().getX509Svids();
      var x509 = client.fetchX509Bundles().getBundles().values().stream()
          .filter(bundle -> !bundle.getX509Authorities().isEmpty())
          .map(X509Bundle::getTrustDomain);
      var jwt = client.fetchJwtBundles().getBundles().values().stream()
          .filter(bundle -> !bundle.getJwtAuthorities().isEmpty())
          .map(JwtBundle::getTrustDomain);
      JwtSvid token = client.fetchJwtSvid(AUDIENCE);
      JwtSvid valid = client.validateJwtSvid(token.getToken(), AUDIENCE);
      var shown = svids.stream().map(Client::show).collect(Collectors.joining(","));
      System.out.printf(
          "{\"svids\":[%s],\"x509\":%s,\"jwt\":%s,\"token\":\"%s\",\"validated\":\"%s\"}%n",
          shown, names(x509), names(jwt), token.getSpiffeId(), valid.getSpiffeId());
    }
  }

  private static void watch(String socket) throws Exception {
    var options = DefaultX509Source.X509SourceOptions.builder()
        .spiffeSocketPath(socket)
        .initTimeout(Duration.ofSeconds(10))
        .build();
    var tokenOptions = JwtSourceOptions.builder()
        .spiffeSocketPath(socket)
        .initTimeout(Duration.ofSeconds(10))
        .build();
    try (var source = DefaultX509Source.newSource(options);
        var tokens = DefaultJwtSource.newSource(tokenOptions)) {
      tokens.getBundleForTrustDomain(source.getX509Svid().getSpiffeId().getTrustDomain());
      var ended = new Thread(Client::readToEnd);
      ended.setDaemon(true);
      ended.start();
      String last = "";
      while (ended.isAlive()) {
        String current = show(source.getX509Svid());
        if (!current.equals(last)) {
          last = current;
          System.out.println(current);
        }
        Thread.sleep(20);
      }
    }
  }

  private static void readToEnd() {
    try {
      while (System.in.read() >= 0) {}
    } catch (java.io.IOException error) {
      // Ends like the end of the input.
    }
  }

  private static String show(X509Svid svid) {
    try {
      String leaf = HexFormat.of().formatHex(svid.getLeaf().getEncoded());
      String hint = svid.getHint() == null ? "" : svid.getHint();
      return String.format(
          "{\"id\":\"%s\",\"hint\":\"%s\",\"leaf\":\"%s\"}", svid.getSpiffeId(), hint, leaf);
    } catch (java.security.cert.CertificateEncodingException error) {
      throw new IllegalStateException(error);
    }
  }

  private static String names(Stream<?> trustDomains) {
    return trustDomains
        .map(name -> "\"" + name + "\"")
        .sorted()
        .collect(Collectors.joining(",", "[", "]"));
  }
}
