// Go's net/http behind the boundary: a static program with its own resolver and its own TLS, and a dynamic one that asks libc for names.
// Both are built here, from one file of the standard library alone.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { execFileSync } from 'node:child_process';
import { before, test } from 'node:test';
import { SECRET, authority, boundary, credential, nameServer, origin, rule } from '../lib/egress.mjs';
import { cleanEnv, ms, tempDir } from '../lib/own.mjs';

const ca = authority();
const tls = ca.issue(['api.test']);
const dns = await nameServer({ 'api.test': '127.0.0.1' });
const SLOW = ms(120000);
const BEARER = `Bearer ${SECRET}`;
const dir = tempDir('go');

const PROGRAM = String.raw`
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

var token = os.Getenv("TOKEN")
var base = os.Args[2]

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func request(method, url string, body io.Reader) *http.Request {
	q, err := http.NewRequest(method, url, body)
	must(err)
	q.Header.Set("Authorization", "Bearer "+token)
	return q
}

func do(c *http.Client, q *http.Request) (*http.Response, string) {
	r, err := c.Do(q)
	must(err)
	text, err := io.ReadAll(r.Body)
	must(err)
	r.Body.Close()
	return r, string(text)
}

func main() {
	t := &http.Transport{ForceAttemptHTTP2: true, ExpectContinueTimeout: time.Minute}
	if os.Args[1] == "1" {
		t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	c := &http.Client{Transport: t}

	r, text := do(c, request("GET", base+"/get", nil))
	fmt.Println("get", r.Proto, r.StatusCode, strings.Contains(text, "Bearer "+token), r.TLS.PeerCertificates[0].DNSNames)

	/* The transport asks for gzip and undoes it by itself. */
	r, text = do(c, request("GET", base+"/gzip", nil))
	fmt.Println("gzip", r.StatusCode, text == "zipped "+token)

	/* A body without a length, and a trailer that is known after it. */
	in, out := io.Pipe()
	q := request("POST", base+"/trailers", in)
	q.Trailer = http.Header{"X-Sum": nil}
	go func() {
		for i := 0; i < 100; i++ {
			out.Write(bytes.Repeat([]byte{'a'}, 1000))
		}
		q.Trailer.Set("X-Sum", "100000")
		out.Close()
	}()
	r, text = do(c, q)
	fmt.Println("trailers", text, r.Trailer.Get("X-Key") == token)

	q = request("POST", base+"/continue", strings.NewReader("waited"))
	q.Header.Set("Expect", "100-continue")
	r, text = do(c, q)
	fmt.Println("continue", r.StatusCode, strings.Contains(text, "\"body\":\"waited\""))

	r, text = do(c, request("POST", base+"/from", strings.NewReader("again")))
	fmt.Println("redirect", r.StatusCode, r.Request.URL.Path, strings.Contains(text, "\"body\":\"again\""))

	var w sync.WaitGroup
	right := make(chan bool, 100)
	for i := 0; i < 100; i++ {
		w.Add(1)
		go func(i int) {
			defer w.Done()
			r, text := do(c, request("GET", fmt.Sprintf("%s/k%d", base, i), nil))
			right <- r.StatusCode == 200 && strings.Contains(text, fmt.Sprintf("\"url\":\"/k%d\"", i))
		}(i)
	}
	w.Wait()
	n := 0
	for i := 0; i < 100; i++ {
		if <-right {
			n++
		}
	}
	fmt.Println("at once", n)

	/* A stream that is given up after its first line: the origin hears of it, and answers /closed then. */
	ctx, cancel := context.WithCancel(context.Background())
	s, err := c.Do(request("GET", base+"/endless", nil).WithContext(ctx))
	must(err)
	line, err := bufio.NewReader(s.Body).ReadString('\n')
	must(err)
	cancel()
	s.Body.Close()
	r, text = do(c, request("GET", base+"/closed", nil))
	fmt.Println("given up", line == "data: "+token+"\n", r.StatusCode, text)

	q, err = http.NewRequest("GET", "https://other.test/", nil)
	must(err)
	r, text = do(c, q)
	fmt.Println("refused", r.StatusCode, strings.Contains(text, "no rule allows other.test"))
}
`;

before(() => {
  fs.chmodSync(dir, 0o755);
  fs.writeFileSync(path.join(dir, 'a.go'), PROGRAM);
  const cache = tempDir('go-cache');
  for (const [name, cgo] of [['static', '0'], ['dynamic', '1']])
    execFileSync('go', ['build', '-o', path.join(dir, name), path.join(dir, 'a.go')], { cwd: dir, env: cleanEnv({ CGO_ENABLED: cgo, GO111MODULE: 'off', GOCACHE: cache, GOPATH: cache, GOPROXY: 'off' }), stdio: ['ignore', 'pipe', 'pipe'] });
}, { timeout: ms(240000) });

/** An origin's handler. /closed is answered when the client of /endless has left. */
function handler() {
  let left;
  const gone = new Promise((ok) => { left = ok; });
  const handle = async (req, res, record) => {
    const parts = [];
    for await (const d of req) parts.push(d);
    record.body = Buffer.concat(parts).toString('latin1');
    if (req.url === '/from') return void res.writeHead(308, { location: '/to' }).end();
    if (req.url === '/gzip') return void res.writeHead(200, { 'content-encoding': 'gzip' }).end(zlib.gzipSync(`zipped ${SECRET}`));
    if (req.url === '/closed') return void res.end(await gone);
    if (req.url === '/endless') {
      res.on('close', () => left('heard'));
      return void res.writeHead(200, { 'content-type': 'text/event-stream' }).write(`data: ${SECRET}\n`);
    }
    if (req.url === '/trailers') {
      res.writeHead(200, { trailer: 'X-Key' });
      res.write(`${record.body.length} ${req.trailers['x-sum']}`);
      res.addTrailers({ 'X-Key': SECRET });
      return void res.end();
    }
    res.end(JSON.stringify(record));
  };
  return Object.assign(handle, { streaming: true });
}

for (const [program, resolver, version, h2] of [['static', 'go', 2, true], ['static', 'go', 1, true], ['static', 'go', 2, false], ['dynamic', 'cgo', 2, true], ['dynamic', 'go', 1, true]]) {
  test(`net/http in a ${program} program with the resolver of ${resolver === 'go' ? 'Go' : 'libc'} speaks HTTP/${version} to an origin of ${h2 ? 'both' : 'HTTP/1.1'}`, async () => {
    const o = await origin({ tls, h2, handler: handler() });
    const b = boundary({ ca, dns, allow: [rule('api.test', o.port)], credentials: [credential(`api.test:${o.port}`)] });
    const out = await b.ok(`GODEBUG=netdns=${resolver}+1 /s/${program} ${version} https://api.test:${o.port}`, { args: ['--bind', `${dir}:/s`], timeout: SLOW });
    const proto = version === 2 && h2 ? 'HTTP/2.0' : 'HTTP/1.1';
    assert.deepEqual(out.trimEnd().split('\n'), [`get ${proto} 200 true [api.test]`, 'gzip 200 true', 'trailers 100000 100000 true', 'continue 200 true',
      'redirect 200 /to true', 'at once 100', 'given up true 200 heard', 'refused 403 true']);
    assert.equal(o.seen.length, 108);
    for (const r of o.seen) assert.equal(r.headers.authorization, BEARER, r.url);
    assert.equal(o.seen[0].version, proto.slice(5));
    assert.equal(b.records({ kind: 'request', verdict: 'allow' }).length, 107);
    assert.deepEqual(b.records({ kind: 'request' }).filter((r) => r.verdict !== 'allow').map((r) => `${r.verdict} ${r.reason} ${r.path} ${r.status}`), ['error client_gone /endless 200', 'deny policy / 403']);
  });
}

test('the programs are what their names say', () => {
  const needs = (name) => execFileSync('readelf', ['-d', path.join(dir, name)], { encoding: 'utf8' }).includes('(NEEDED)');
  assert.deepEqual([needs('static'), needs('dynamic')], [false, true]);
});
