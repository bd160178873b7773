// Java behind the boundary. Its trust store is one that the sandbox has made (build/jks.c); no program here says a word about
// certificates, proxies or names.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { WebSocketServer } from 'ws';
import { SECRET, authority, boundary, credential, nameServer, origin, rule, scripts } from '../lib/egress.mjs';
import { ms } from '../lib/own.mjs';

const ca = authority();
const tls = ca.issue(['api.test']);
const dns = await nameServer({ 'api.test': '127.0.0.1' });
const SLOW = ms(180000);
const BEARER = `Bearer ${SECRET}`;

/** Runs `A.java` from its source in a sandbox that may reach `o`; what it prints. */
async function java(o, body, { credentials, helpers = '', env = '' } = {}) {
  const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: credentials ?? [credential(`api.test:${o.port}`)] });
  const dir = scripts({ 'A.java': `
import java.io.*;
import java.net.*;
import java.net.http.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
public class A {
    static final String TOKEN = System.getenv("TOKEN"), BEARER = "Bearer " + TOKEN, URL = "//api.test:${o.port}";
    static void say(Object... words) { System.out.println(Arrays.stream(words).map(String::valueOf).collect(Collectors.joining(" "))); }
    static HttpRequest.Builder to(String path) { return HttpRequest.newBuilder(URI.create("https:" + URL + path)).header("Authorization", BEARER); }
    static final HttpResponse.BodyHandler<String> TEXT = HttpResponse.BodyHandlers.ofString();
${helpers}
    public static void main(String[] args) throws Exception {
${body}
    }
}` });
  const out = await b.ok(`${env} java -Xmx128m /s/A.java`, { args: ['--bind', `${dir}:/s`], timeout: SLOW });
  return { b, lines: out.trimEnd().split('\n') };
}

for (const [version, h2] of [['HTTP_2', true], ['HTTP_1_1', true], ['HTTP_2', false]]) {
  test(`HttpClient that speaks ${version} to an origin that ${h2 ? 'speaks both' : 'speaks HTTP/1.1 only'}`, async () => {
    const handler = (req, res, ...[record]) => {
      if (req.url === '/from') return void res.writeHead(307, { location: '/to' }).end();
      res.setHeader('x-got', record.headers.authorization ?? 'nothing');
      res.end(JSON.stringify(record));
    };
    const o = await origin({ tls, h2, handler });
    const { b, lines } = await java(o, `
        HttpClient c = HttpClient.newBuilder().version(HttpClient.Version.${version}).followRedirects(HttpClient.Redirect.NORMAL).build();
        HttpResponse<String> r = c.send(to("/get").build(), TEXT);
        say(r.version(), r.statusCode(), r.headers().firstValue("x-got").get().equals(BEARER), r.body().contains(BEARER));
        r = c.send(to("/post").POST(HttpRequest.BodyPublishers.ofString("a body")).build(), TEXT);
        say(r.statusCode(), r.body().contains("\\"body\\":\\"a body\\""));
        byte[] large = new byte[300000];
        Arrays.fill(large, (byte) 'x');
        r = c.send(to("/unknown-length").POST(HttpRequest.BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(large))).build(), TEXT);
        say(r.statusCode(), r.body().contains("x".repeat(300000)));
        r = c.send(to("/from").POST(HttpRequest.BodyPublishers.ofString("again")).build(), TEXT);
        say(r.statusCode(), r.uri().getPath(), r.body().contains("\\"body\\":\\"again\\""));
        List<CompletableFuture<String>> all = IntStream.range(0, 50).mapToObj(i -> c.sendAsync(to("/k" + i).build(), TEXT)
            .thenApply(x -> x.statusCode() + " " + x.body().contains("\\"url\\":\\"/k" + i + "\\""))).collect(Collectors.toList());
        say(new TreeSet<>(all.stream().map(CompletableFuture::join).collect(Collectors.toList())));
        r = c.send(HttpRequest.newBuilder(URI.create("https://other.test/")).build(), TEXT);
        say(r.statusCode(), r.body().contains("no rule allows other.test"), r.headers().firstValue("proxy-status").isPresent());
        r = c.send(to("/continue").expectContinue(true).POST(HttpRequest.BodyPublishers.ofString("waited")).build(), TEXT);
        say(r.statusCode(), r.body().contains("\\"body\\":\\"waited\\""));`);
    assert.deepEqual(lines, [`${version === 'HTTP_2' && h2 ? 'HTTP_2' : 'HTTP_1_1'} 200 true true`, '200 true', '200 true', '200 /to true', '[200 true]', '403 true true', '200 true']);
    assert.equal(o.seen.length, 56);
    for (const r of o.seen) assert.equal(r.headers.authorization, BEARER, r.url);
    assert.equal(o.seen[0].version, version === 'HTTP_2' && h2 ? '2.0' : '1.1');
    const records = b.records({ kind: 'request' }).filter((x) => x.verdict !== 'deny');
    const rest = records.filter((x) => x.verdict !== 'allow');
    assert.equal(records.length, 56, JSON.stringify(rest));
    // It may cancel an answer that it only follows to elsewhere, and a program that ends with its last answer the rest of that.
    assert.ok(rest.every((x) => ['/from', '/continue'].includes(x.path) && [200, 307].includes(x.status) && ['client_gone', 'cancelled'].includes(x.reason)), JSON.stringify(rest));
  });
}

test('HttpClient over http:// asks for an upgrade to h2c with its first request, and stays with HTTP/1.1', async () => {
  const o = await origin({ plain: true });
  const { lines } = await java(o, `
        HttpClient c = HttpClient.newHttpClient();
        for (int i = 0; i < 2; i++) {
            HttpResponse<String> r = c.send(HttpRequest.newBuilder(URI.create("http:" + URL + "/" + i)).header("Authorization", BEARER).build(), TEXT);
            say(r.version(), r.statusCode(), r.body().contains(BEARER));
        }`, { credentials: [credential(`api.test:${o.port}`, { plaintext: true })] });
  assert.deepEqual(lines, ['HTTP_1_1 200 true', 'HTTP_1_1 200 true']);
  for (const r of o.seen) {
    assert.equal(r.headers.authorization, BEARER);
    assert.equal(r.headers.upgrade, undefined);
    assert.equal(r.headers['http2-settings'], undefined);
  }
});

test('a JAVA_TOOL_OPTIONS that goes on from ours keeps the trust store', async () => {
  const o = await origin({ tls });
  const { lines } = await java(o, `
        say(HttpClient.newHttpClient().send(to("/").build(), TEXT).statusCode(), System.getProperty("of.its.own"));`, { env: 'JAVA_TOOL_OPTIONS="$JAVA_TOOL_OPTIONS -Dof.its.own=yes"' });
  assert.deepEqual(lines, ['200 yes']);
});

test('HttpClient with an Authenticator logs in after the 401, with a placeholder as its password', async () => {
  const want = `Basic ${Buffer.from(`me:${SECRET}`).toString('base64')}`;
  const o = await origin({ tls, h2: true, handler: (req, res) => (req.headers.authorization === want ? res.end(`in with ${SECRET}`) : res.writeHead(401, { 'www-authenticate': 'Basic realm="api"' }).end()) });
  const { lines } = await java(o, `
        HttpClient c = HttpClient.newBuilder().authenticator(new Authenticator() {
            protected PasswordAuthentication getPasswordAuthentication() { return new PasswordAuthentication("me", TOKEN.toCharArray()); }
        }).build();
        HttpResponse<String> r = c.send(HttpRequest.newBuilder(URI.create("https:" + URL + "/")).build(), TEXT);
        say(r.statusCode(), r.body().equals("in with " + TOKEN));`);
  assert.deepEqual(lines, ['200 true']);
  assert.deepEqual(o.seen.map((r) => r.headers.authorization), [undefined, want]);
});

test('HttpURLConnection: requests in a row, bodies of both kinds, an answer in gzip, and the body of a refusal', async () => {
  const handler = (req, res, ...[record]) => {
    const text = JSON.stringify(record);
    if (req.url === '/gzip') return void res.writeHead(200, { 'content-encoding': 'gzip' }).end(zlib.gzipSync(text));
    res.end(text);
  };
  const o = await origin({ tls, handler });
  const { lines } = await java(o, `
        for (int i = 0; i < 3; i++) {
            HttpURLConnection c = open("https:" + URL + "/get" + i);
            say(c.getResponseCode(), text(c.getInputStream()).contains(BEARER));
        }
        HttpURLConnection c = open("https:" + URL + "/fixed");
        c.setDoOutput(true);
        c.setFixedLengthStreamingMode(100000);
        c.getOutputStream().write("y".repeat(100000).getBytes());
        say(c.getResponseCode(), text(c.getInputStream()).contains("y".repeat(100000)));
        c = open("https:" + URL + "/chunked");
        c.setDoOutput(true);
        c.setChunkedStreamingMode(0);
        for (int i = 0; i < 100; i++) c.getOutputStream().write("z".repeat(1000).getBytes());
        c.getOutputStream().close();
        say(c.getResponseCode(), text(c.getInputStream()).contains("z".repeat(100000)));
        c = open("https:" + URL + "/gzip");
        c.setRequestProperty("Accept-Encoding", "gzip");
        say(c.getResponseCode(), c.getContentEncoding(), text(c.getInputStream()).contains(BEARER));
        c = (HttpURLConnection) new URL("https://other.test/").openConnection();
        say(c.getResponseCode(), text(c.getErrorStream()).contains("no rule allows other.test"));`, { helpers: `
    static HttpURLConnection open(String url) throws Exception {
        HttpURLConnection c = (HttpURLConnection) new URL(url).openConnection();
        c.setRequestProperty("Authorization", BEARER);
        return c;
    }
    static String text(InputStream in) throws Exception { try (in) { return new String(in.readAllBytes(), StandardCharsets.UTF_8); } }` });
  assert.deepEqual(lines, ['200 true', '200 true', '200 true', '200 true', '200 true', '200 null true', '403 true']);
  assert.deepEqual(o.seen.map((r) => r.url), ['/get0', '/get1', '/get2', '/fixed', '/chunked', '/gzip']);
  assert.deepEqual(o.seen.slice(3, 5).map((r) => [r.headers['content-length'], r.headers['transfer-encoding']]), [['100000', undefined], [undefined, 'chunked']]);
  for (const r of o.seen) assert.equal(r.headers.authorization, BEARER, r.url);
});

test('HttpClient’s WebSocket', async () => {
  const o = await origin({ tls });
  const wss = new WebSocketServer({ noServer: true });
  let head;
  o.server.on('upgrade', (req, sock, rest) => { head = req.headers; wss.handleUpgrade(req, sock, rest, (ws) => ws.on('message', (m) => ws.send(String(m) === 'tell' ? SECRET : String(m)))); });
  const { b, lines } = await java(o, `
        BlockingQueue<String> got = new LinkedBlockingQueue<>();
        WebSocket ws = HttpClient.newHttpClient().newWebSocketBuilder().header("Authorization", BEARER).buildAsync(URI.create("wss:" + URL + "/ws"), new WebSocket.Listener() {
            final StringBuilder text = new StringBuilder();
            public CompletionStage<?> onText(WebSocket w, CharSequence part, boolean last) {
                text.append(part);
                if (last) { got.add(text.toString()); text.setLength(0); }
                w.request(1);
                return null;
            }
            public CompletionStage<?> onClose(WebSocket w, int status, String reason) { got.add("closed " + status + " " + reason); return null; }
            public void onError(WebSocket w, Throwable t) { got.add(t.toString()); }
        }).join();
        ws.sendText("two ", false).join();
        ws.sendText("parts", true).join();
        say(got.take());
        ws.sendText("w".repeat(200000), true).join();
        say(got.take().equals("w".repeat(200000)));
        ws.sendText("tell", true).join();
        say(got.take().equals(TOKEN));
        ws.sendClose(1000, "done").join();
        say(got.take());`);
  assert.deepEqual(lines, ['two parts', 'true', 'true', 'closed 1000 done']);
  assert.equal(head.authorization, BEARER);
  assert.deepEqual(b.records({ kind: 'request' }).map((r) => r.status), [101]);
});
