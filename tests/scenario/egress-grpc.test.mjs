// gRPC behind the boundary: grpc's C core with its Python on both sides. It speaks HTTP/2 and nothing else, says how a call ended in
// trailers, carries bytes in metadata as base64, measures its line with pings, and has certificates of its own unless it is told.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { SECRET, authority, boundary, credential, nameServer, rule, scripts } from '../lib/egress.mjs';
import { ms, start, tempDir } from '../lib/own.mjs';

const ca = authority();
const dns = await nameServer({ 'grpc.test': '127.0.0.1' });
const SLOW = ms(120000);
const PYTHON = '/usr/bin/python3';

/** A server without generated code: messages are bytes. It tells what each call brought, one JSON object a line. */
const SERVER = `
import grpc, json, sys, time
from concurrent import futures
SECRET, key, cert = sys.argv[1], open(sys.argv[2], 'rb').read(), open(sys.argv[3], 'rb').read()
def note(context, method):
    print(json.dumps({'method': method, 'metadata': [[k, v if isinstance(v, str) else v.hex()] for k, v in context.invocation_metadata()]}), flush=True)
    context.send_initial_metadata((('x-first', SECRET),))
    context.set_trailing_metadata((('x-key', SECRET), ('x-key-bin', b'\\x00\\x01' + SECRET.encode() + b'\\xff')))
def unary(request, context):
    note(context, 'Unary')
    return b'got ' + request
def down(request, context):
    note(context, 'Down')
    for i in range(int(request)): yield b'%d ' % i + b'd' * i
def up(requests, context):
    note(context, 'Up')
    return b'%d' % sum(len(r) for r in requests)
def both(requests, context):
    note(context, 'Both')
    for r in requests: yield b'echo ' + r
def tell(request, context):
    note(context, 'Tell')
    return b'the key is ' + SECRET.encode()
def packed(request, context):
    note(context, 'Packed')
    context.set_compression(grpc.Compression.Gzip)
    return b'z' * 10000 + SECRET.encode()
def fail(request, context):
    note(context, 'Fail')
    context.abort(grpc.StatusCode.PERMISSION_DENIED, 'not with ' + SECRET + ' \\u00e9')
def fail_late(request, context):
    note(context, 'FailLate')
    yield b'one'
    context.abort(grpc.StatusCode.DATA_LOSS, 'after one')
def wait(request, context):
    note(context, 'Wait')
    context.add_callback(lambda: print(json.dumps({'method': 'WaitLeft'}), flush=True))
    yield b'begun'
    while context.is_active(): time.sleep(0.02)
handlers = {'Unary': grpc.unary_unary_rpc_method_handler(unary), 'Down': grpc.unary_stream_rpc_method_handler(down), 'Up': grpc.stream_unary_rpc_method_handler(up),
            'Both': grpc.stream_stream_rpc_method_handler(both), 'Tell': grpc.unary_unary_rpc_method_handler(tell), 'Fail': grpc.unary_unary_rpc_method_handler(fail),
            'FailLate': grpc.unary_stream_rpc_method_handler(fail_late), 'Packed': grpc.unary_unary_rpc_method_handler(packed), 'Wait': grpc.unary_stream_rpc_method_handler(wait)}
server = grpc.server(futures.ThreadPoolExecutor(16))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler('test.Service', handlers),))
port = server.add_secure_port('127.0.0.1:0', grpc.ssl_server_credentials([(key, cert)]))
server.start()
print('port', port, flush=True)
server.wait_for_termination()
`;

const dir = tempDir('grpc');
const { key, cert } = ca.issue(['grpc.test']);
for (const [name, text] of [['server.py', SERVER], ['key', key], ['cert', cert]]) fs.writeFileSync(path.join(dir, name), text, { mode: 0o600 });
const server = start(PYTHON, ['server.py', SECRET, 'key', 'cert'], { cwd: dir });
const port = Number((await server.line(/^port (\d+)$/m, ms(30000)))[1]);
const called = (method) => server.out.split('\n').filter((l) => l.startsWith('{')).map((l) => JSON.parse(l)).filter((c) => c.method === method);

const PRELUDE = `
import grpc, os, threading
TOKEN = os.environ['TOKEN']
channel = grpc.secure_channel('grpc.test:${port}', grpc.ssl_channel_credentials())
meta = (('authorization', 'Bearer ' + TOKEN),)
svc = '/test.Service/'
unary = lambda m, c=None: (c or channel).unary_unary(svc + m)
def ended(call):
    t = dict(call.trailing_metadata())
    return t.get('x-key') == TOKEN and t.get('x-key-bin', b'').rstrip(b'.') == b'\\x00\\x01' + TOKEN.encode() + b'\\xff'
def first(call): return dict(call.initial_metadata()).get('x-first') == TOKEN
`;
/** Runs Python with a channel to the server in a sandbox; what it prints, by line. */
async function inside(body, { more = {}, env = '' } = {}) {
  const b = boundary({ ca, dns, allow: [rule('grpc.test', port)], credentials: [credential(`grpc.test:${port}`, more)] });
  const s = scripts({ 'a.py': PRELUDE + body });
  const out = await b.ok(`${env} ${PYTHON} /s/a.py`, { args: ['--bind', `${s}:/s`], timeout: SLOW });
  return { b, lines: out.trimEnd().split('\n') };
}

for (const resolver of ['native', 'ares']) {
  test(`gRPC with the resolver "${resolver}": one message, streams in each direction and in both`, async () => {
    const { b, lines } = await inside(`
r, call = unary('Unary').with_call(b'hello', metadata=meta)
print(r, call.code(), first(call), ended(call))
large = os.urandom(3000000)
r, call = unary('Unary').with_call(large, metadata=meta)
print(r == b'got ' + large, call.code())
call = channel.unary_stream(svc + 'Down')(b'2000', metadata=meta)
print(sum(m == b'%d ' % i + b'd' * i for i, m in enumerate(call)), call.code(), first(call), ended(call))
r, call = channel.stream_unary(svc + 'Up').with_call((b'u' * 10000 for _ in range(300)), metadata=meta)
print(r, call.code(), ended(call))
# Each message is sent when the answer to the one before is there.
gate = threading.Semaphore(1)
def ask():
    for i in range(200):
        gate.acquire()
        yield b'm%d' % i
call = channel.stream_stream(svc + 'Both')(ask(), metadata=meta)
n = 0
for m in call:
    n += m == b'echo m%d' % n
    gate.release()
print(n, call.code(), ended(call))
many = [unary('Unary').future(b'%d' % i, metadata=meta) for i in range(300)]
print(sum(f.result() == b'got %d' % i and f.code() == grpc.StatusCode.OK for i, f in enumerate(many)))
`, { env: `GRPC_DNS_RESOLVER=${resolver}` });
    assert.deepEqual(lines, ["b'got hello' StatusCode.OK True True", 'True StatusCode.OK', '2000 StatusCode.OK True True', "b'3000000' StatusCode.OK True", '200 StatusCode.OK True', '300']);
    for (const m of ['Unary', 'Down', 'Up', 'Both']) for (const c of called(m)) assert.equal(new Map(c.metadata).get('authorization'), `Bearer ${SECRET}`, m);
    const requests = b.records({ kind: 'request' });
    assert.equal(requests.length, 305);
    for (const r of requests) assert.deepEqual([r.verdict, r.status, r.method], ['allow', 200, 'POST']);
  });
}

test('gRPC: how a call failed stands in the trailers, alone or after messages', async () => {
  const { lines } = await inside(`
try:
    unary('Fail')(b'', metadata=meta)
except grpc.RpcError as e:
    print(e.code(), e.details() == 'not with ' + TOKEN + ' \\u00e9', ended(e))
call = channel.unary_stream(svc + 'FailLate')(b'', metadata=meta)
got = []
try:
    for m in call: got.append(m)
except grpc.RpcError as e:
    print(got, e.code(), e.details(), ended(e))
try:
    unary('Nothing')(b'', metadata=meta)
except grpc.RpcError as e:
    print(e.code(), e.details())
`);
  assert.deepEqual(lines, ['StatusCode.PERMISSION_DENIED True True', "[b'one'] StatusCode.DATA_LOSS after one True", 'StatusCode.UNIMPLEMENTED Method not found!']);
});

test('gRPC: credentials of calls, metadata in bytes, a deadline, a call that is given up', async () => {
  const { lines } = await inside(`
creds = grpc.composite_channel_credentials(grpc.ssl_channel_credentials(), grpc.access_token_call_credentials(TOKEN))
with grpc.secure_channel('grpc.test:${port}', creds) as c:
    r, call = unary('Unary', c).with_call(b'by the channel', metadata=(('x-mine-bin', bytes(range(256))), ('x-mine', 'twice'), ('x-mine', 'said')))
    print(r, call.code(), ended(call))
call = channel.unary_stream(svc + 'Wait')(b'', metadata=meta)
print(next(call))
call.cancel()
call = channel.unary_stream(svc + 'Wait')(b'', metadata=meta, timeout=1.5)
try:
    for m in call: print(m)
except grpc.RpcError as e:
    print(e.code())
print(unary('Unary')(b'after', metadata=meta))
`);
  assert.deepEqual(lines, ["b'got by the channel' StatusCode.OK True", "b'begun'", "b'begun'", 'StatusCode.DEADLINE_EXCEEDED', "b'got after'"]);
  const mine = called('Unary').find((c) => c.metadata.some(([k]) => k === 'x-mine-bin')).metadata;
  assert.deepEqual(mine.filter(([k]) => k.startsWith('x-mine')), [['x-mine-bin', Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString('hex')], ['x-mine', 'twice'], ['x-mine', 'said']]);
  assert.equal(new Map(mine).get('authorization'), `Bearer ${SECRET}`);
  assert.equal(called('Wait').length, 2);
  // The server hears that both have left; nothing else ends them.
  await server.line(/WaitLeft[^]*WaitLeft/, ms(20000));
});

test('gRPC: a secret in a message becomes the placeholder, or as much of it as has the same length', async () => {
  const tell = `
r, call = unary('Tell').with_call(b'', metadata=meta)
print(r == b'the key is ' + TOKEN[:${SECRET.length}].encode(), len(TOKEN), call.code(), ended(call))
print(unary('Unary')(b'after', metadata=meta))
`;
  const same = await inside(tell, { more: { format: `sk-real-{base62:${SECRET.length - 8}}` } });
  assert.deepEqual(same.lines, [`True ${SECRET.length} StatusCode.OK True`, "b'got after'"]);
  // Another length would move all that follows: what reads the message would wait for ever.
  const longer = await inside(tell);
  assert.deepEqual(longer.lines, ['True 38 StatusCode.OK True', "b'got after'"]);
});

test('gRPC: messages that are compressed one by one: those of the client pass, the server does not compress its own', async () => {
  const { b, lines } = await inside(`
with grpc.secure_channel('grpc.test:${port}', grpc.ssl_channel_credentials(), compression=grpc.Compression.Gzip) as c:
    r, call = unary('Unary', c).with_call(b'z' * 100000, metadata=meta)
    print(r == b'got ' + b'z' * 100000, call.code())
r, call = unary('Packed').with_call(b'', metadata=meta)
print(r == b'z' * 10000 + TOKEN[:${SECRET.length}].encode(), call.code())
`);
  assert.deepEqual(lines, ['True StatusCode.OK', 'True StatusCode.OK']);
  const [sent, got] = b.records({ kind: 'request' });
  assert.ok(sent.sent < 10000, `${sent.sent} bytes were sent: they were compressed`);
  assert.ok(got.received > 10000, `${got.received} bytes came: they were not`);
});

test('gRPC: a host that no rule allows, and one whose key is missing, are errors that can be read', async () => {
  const { lines } = await inside(`
def says(channel, **more):
    try:
        unary('Unary', channel)(b'', **more)
    except grpc.RpcError as e:
        print(e.code(), '|', e.details())
says(grpc.secure_channel('other.test:443', grpc.ssl_channel_credentials()))
says(channel, metadata=(('x-elsewhere', TOKEN),))
`);
  assert.equal(lines.length, 2);
  for (const l of lines) assert.match(l, /^StatusCode\.PERMISSION_DENIED \| .*403/);
});
