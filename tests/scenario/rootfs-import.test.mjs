// `sallyport rootfs` as a person at a shell meets it: archives made by tar, gzip, zstd and xz from a small
// distribution of static programs, in the forms engines write, compared with what tar and the rules for
// whiteouts say the tree must be.
import { before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { BIN, descendants, forEverybody, ms, run, start, tempDir, until } from '../lib/own.mjs';

const sha = (b) => crypto.createHash('sha256').update(b).digest('hex');
const sh = async (script, cwd) => {
  const r = await run('sh', ['-euc', script], { cwd, timeout: ms(60000) });
  assert.equal(r.code, 0, `${script}\n${r.err}`);
  return r.out;
};
const rootfs = (...args) => run(BIN, ['rootfs', ...args], { timeout: ms(60000) });
const work = tempDir('rootfs');
const layers = [];   // the layers as tar files
const ARCH = { x64: 'amd64', arm64: 'arm64', riscv64: 'riscv64' }[process.arch];

/** Everything below a directory, one line each; what a file is and holds, but no owners. */
const listing = (dir) => sh('find . -mindepth 1 -printf "%P %y %m %l\\n" | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum', dir);
const tree = (data, name) => path.join(data, 'rootfs', name, 'rootfs');

const configOf = (diffs, arch = ARCH) => JSON.stringify({ architecture: arch, os: 'linux', config: { Env: ['PATH=/bin', 'LANG=C.UTF-8'], WorkingDir: '/srv', User: 'app', Cmd: ['/bin/sh'] }, rootfs: { type: 'layers', diff_ids: diffs.map((d) => `sha256:${d}`) } });

async function pack(dir, out, order = '.') { await sh(`tar -C '${dir}' -cf '${out}' ${order}`); return out; }

/** `docker save`: manifest.json at the end, layers in directories. */
async function dockerArchive(out, files = layers, arch = ARCH) {
  const dir = tempDir('docker');
  const config = configOf(files.map((f) => sha(fs.readFileSync(f))), arch);
  fs.writeFileSync(path.join(dir, `${sha(config)}.json`), config);
  const names = files.map((f, i) => { fs.mkdirSync(path.join(dir, `l${i}`)); fs.copyFileSync(f, path.join(dir, `l${i}`, 'layer.tar')); return `l${i}/layer.tar`; });
  fs.writeFileSync(path.join(dir, 'manifest.json'), JSON.stringify([{ Config: `${sha(config)}.json`, RepoTags: ['tiny:latest'], Layers: names }]));
  return pack(dir, out, `${names.reverse().join(' ')} ${sha(config)}.json manifest.json`);
}

/** An OCI image layout whose layers went through `compress` (a command from stdin to stdout). */
async function ociArchive(out, compress, suffix, platform = { os: 'linux', architecture: ARCH }, files = layers) {
  const dir = tempDir('oci');
  fs.mkdirSync(path.join(dir, 'blobs/sha256'), { recursive: true });
  const blob = (bytes, mediaType) => { fs.writeFileSync(path.join(dir, 'blobs/sha256', sha(bytes)), bytes); return { mediaType, digest: `sha256:${sha(bytes)}`, size: Buffer.byteLength(bytes) }; };
  const stored = [];
  for (const f of files) { await sh(`${compress} <'${f}' >'${dir}/packed'`); stored.push(blob(fs.readFileSync(path.join(dir, 'packed')), `application/vnd.oci.image.layer.v1.tar${suffix}`)); }
  fs.unlinkSync(path.join(dir, 'packed'));
  const config = blob(configOf(files.map((f) => sha(fs.readFileSync(f))), platform?.architecture ?? ARCH), 'application/vnd.oci.image.config.v1+json');
  const manifest = blob(JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json', config, layers: stored }), 'application/vnd.oci.image.manifest.v1+json');
  const inner = blob(JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, platform }] }), 'application/vnd.oci.image.index.v1+json');
  fs.writeFileSync(path.join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [{ ...inner, annotations: { 'io.containerd.image.name': 'docker.io/library/tiny:latest' } }] }));
  fs.writeFileSync(path.join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  return pack(dir, out);
}

before(async () => {
  assert(ARCH, `this machine's architecture is in the table (${process.arch})`);
  // Three layers: a base of static programs; a change with whiteouts; an opaque directory. `merged` is made
  // by hand next to them, with rm and cp.
  await sh(`
    umask 022
    mkdir -p l0/bin l0/usr/lib l0/etc/old l0/opt/tool l0/tmp l0/var/empty
    cp "$(command -v busybox)" l0/bin/busybox
    for a in sh ls cat env id; do ln -s busybox l0/bin/$a; done
    ln l0/bin/busybox l0/bin/hard
    ln -s usr/lib l0/lib
    ln -s /etc/nowhere l0/etc/dangling
    echo root:x:0:0:root:/root:/bin/sh >l0/etc/passwd
    echo 1 >l0/etc/old/a; echo 1 >l0/etc/gone; echo 1 >l0/opt/tool/one; echo 1 >l0/opt/tool/two
    echo name >"l0/etc/Főtanúsítvány.crt"
    printf data >l0/sparse; truncate -s 3000000 l0/sparse
    chmod 4755 l0/bin/hard; chmod 600 l0/etc/passwd; chmod 1777 l0/tmp; chmod 2755 l0/var/empty
    mkdir -p l1/etc l1/srv
    : >l1/etc/.wh.gone; : >l1/etc/.wh.old; echo 2 >l1/srv/app; echo 2 >l1/etc/passwd
    mkdir -p l2/opt/tool l2/etc/old
    : >l2/opt/tool/.wh..wh..opq; echo 3 >l2/opt/tool/three; echo 3 >l2/etc/old/back
    mkfifo l2/opt/pipe
    cp -a l0 merged; rm -r merged/etc/gone merged/etc/old; cp -a l1/srv merged/; cat l1/etc/passwd >merged/etc/passwd; chmod 644 merged/etc/passwd
    rm merged/opt/tool/*; cp l2/opt/tool/three merged/opt/tool/; mkdir merged/etc/old; cp l2/etc/old/back merged/etc/old/
    find merged -type d -exec chmod 00755 {} +; chmod 0755 merged/bin/busybox`, work);
  for (const [i, args] of ['--format=gnu -S', '--format=pax', '--format=ustar'].entries()) {
    await sh(`tar ${args} -C l${i} -cf l${i}.tar .`, work);
    layers.push(path.join(work, `l${i}.tar`));
  }
});

describe('forms', () => {
  test('every form and compression gives the same tree, the one that tar and whiteouts say', async () => {
    const data = path.join(work, 'data');
    const expected = await listing(path.join(work, 'merged'));
    const made = [
      ['docker', await dockerArchive(path.join(work, 'docker.tar'))],
      ['oci-plain', await ociArchive(path.join(work, 'oci.tar'), 'cat', '')],
      ['oci-gzip', await ociArchive(path.join(work, 'oci-gz.tar'), 'gzip -n', '+gzip')],
      ['oci-zstd', await ociArchive(path.join(work, 'oci-zst.tar'), 'zstd -q', '+zstd')],
      ['oci-no-platform', await ociArchive(path.join(work, 'oci-np.tar'), 'gzip -n', '+gzip', undefined)],
    ];
    for (const [tool, end] of [['gzip', 'gz'], ['zstd -q', 'zst'], ['xz -0', 'xz'], ['bzip2', 'bz2']]) {
      await sh(`${tool} <docker.tar >docker.tar.${end}`, work);
      made.push([`docker-${end}`, path.join(work, `docker.tar.${end}`)]);
    }
    for (const [name, file] of made) {
      const r = await rootfs('import', file, '--data', data, '--name', name, '--json');
      assert.equal(r.code, 0, r.err);
      assert.equal(r.err, '', 'silent when there is no terminal');
      const record = JSON.parse(r.out);
      assert.equal(record.source.reference?.endsWith('tiny:latest'), true, name);
      assert.deepEqual(record.env, ['PATH=/bin', 'LANG=C.UTF-8']);
      assert.deepEqual([record.name, record.workdir, record.user, record.architecture], [name, '/srv', 'app', ARCH]);
      assert.deepEqual(record.layers, layers.map((f) => `sha256:${sha(fs.readFileSync(f))}`));
      assert.equal(record.skipped.special_files, 1);
      assert(record.skipped.set_id_bits >= 1);
      assert.equal(await listing(tree(data, name)), expected, name);
      assert.deepEqual(JSON.parse(fs.readFileSync(path.join(data, 'rootfs', name, 'image.json'), 'utf8')), record);
    }
    const st = fs.statSync(path.join(tree(data, 'docker'), 'sparse'));
    assert(st.size === 3000000 && st.blocks < 1000, 'holes stay holes');
    const own = await sh(`find . ! -uid ${process.geteuid()} -o -perm /7022 ! -type l`, path.join(data, 'rootfs'));
    assert.equal(own, '', 'all is the importer\'s, nobody else may write, no set-id bits');

    const list = await rootfs('list', '--data', data);
    assert.equal(list.code, 0, list.err);
    assert.equal(list.out.split('\n').length, made.length + 1);
    assert.match(list.out, /^docker {2,}\d+\.\d MiB +\d+ files {2}\d{4}-\d\d-\d\dT\S+ {2}tiny:latest$/m);
    const json = JSON.parse((await rootfs('list', '--json', '--data', data)).out);
    assert.deepEqual(json.map((o) => o.name), made.map(([n]) => n).sort());
  });

  test('the programs in it run there', async () => {
    const data = path.join(work, 'data-run');
    await rootfs('import', await dockerArchive(path.join(work, 'run.tar')), '--data', data, '--name', 'tiny');
    const r = await run('unshare', ['-Ur', 'chroot', tree(data, 'tiny'), '/bin/sh', '-c', 'cat /srv/app && ls /opt/tool'], { timeout: ms(20000) });
    assert.equal(r.code, 0, r.err);
    assert.equal(r.out, '2\nthree\n');
  });

  test('a plain root file system, from a file and through a pipe, named after the file', async () => {
    const data = path.join(work, 'data-plain');
    const { size } = fs.statSync(layers[0]);
    assert(size > 100000);
    await sh('cp l0.tar Base.tar; gzip -nk Base.tar', work);
    const one = await rootfs('import', path.join(work, 'Base.tar.gz'), '--data', data);
    assert.equal(one.code, 0, one.err);
    assert.match(one.out, /^base: 1 layer, \d+ files, \d+\.\d MiB; set-id bits of \d+ files dropped\n$/);
    await sh(`cat Base.tar.gz | '${BIN}' rootfs import - --name piped --data '${data}'`, work);
    assert.equal(await listing(tree(data, 'piped')), await listing(tree(data, 'base')));
    const none = await run('sh', ['-c', `'${BIN}' rootfs import - --data '${data}' </dev/null`]);
    assert.equal(none.code, 2);
    assert.match(none.err, /--name/);
  });
});

describe('sentences', () => {
  test('exit code and words for what people get wrong', async () => {
    const data = path.join(work, 'data-words');
    const docker = await dockerArchive(path.join(work, 'words.tar'));
    const other = await dockerArchive(path.join(work, 'other.tar'), layers, 's390x');
    await sh('head -c 100000 words.tar >cut.tar; echo hello >text.tar', work);
    assert.equal((await rootfs('import', docker, '--data', data, '--name', 'there')).code, 0);
    const file = (f) => path.join(work, f);
    for (const [args, code, re] of [
      [['import', docker, '--name', 'there'], 1, /words\.tar: there is an image there already; --replace/],
      [['import', docker, '--name', '../up'], 2, /"\.\.\/up" cannot be an image's name/],
      [['import', file('nope.tar')], 1, /nope\.tar cannot be opened: No such file/],
      [['import', work, '--name', 'x'], 1, /it is a directory/],
      [['import', file('cut.tar')], 1, /cut\.tar: /],
      [['import', file('text.tar')], 1, /text\.tar: /],
      [['import', other], 2, /the image is for s390x, this machine is \w+; --architecture/],
      [['import', docker, '--image', 'other:1'], 2, /it holds: tiny:latest/],
      [['import', docker, '--max-size', '1M'], 1, /--max-size allows more/],
      [['import', docker, '--max-files', '5'], 1, /--max-files allows more/],
      [['import', docker, '--max-depth', '1'], 1, /--max-depth allows more/],
      [['import', docker, '--format', 'oci'], 1, /oci-layout/],
      [['import'], 2, /ARCHIVE/],
      [['import', docker, '--max-depth', '1000'], 2, /--max-depth/],
      [['remove', 'nope'], 1, /no image nope in .*; there is: there/],
      [['remove', 'a/b'], 2, /cannot be an image's name/],
      [['lsit'], 2, /did you mean list/],
      [[], 2, /Verbs:/],
    ]) {
      const r = await rootfs(...args, ...(args.length ? ['--data', data] : []));
      assert.equal(r.code, code, `${args.join(' ')}\n${r.err}`);
      assert.match(r.err + r.out, re, args.join(' '));
      assert(!/[\r\x1b]/.test(r.out + r.err));
      assert.deepEqual(fs.readdirSync(path.join(data, 'rootfs')).sort(), ['.lock', 'there'], `${args.join(' ')} leaves nothing`);
    }
    const empty = await rootfs('list', '--data', path.join(work, 'nowhere'));
    assert.equal(empty.code, 0);
    assert.match(empty.err, /no images .*rootfs import makes one/);
    assert.equal((await rootfs('remove', 'there', '--data', data)).out, 'there is removed\n');
  });

  test('an archive bomb ends at the ratio, not at the disk', async () => {
    const data = path.join(work, 'data-bomb');
    await sh('mkdir -p bomb/usr && truncate -s 600M bomb/usr/zeros && tar -C bomb -cf - . | zstd -q >bomb.tar.zst && rm -r bomb', work);
    const r = await rootfs('import', path.join(work, 'bomb.tar.zst'), '--data', data);
    assert.equal(r.code, 1);
    assert.match(r.err, /more than 200 times its size.*--max-ratio/);
    assert.deepEqual(fs.readdirSync(path.join(data, 'rootfs')), ['.lock']);
    // The same in a layer, in the layer's padding, and with the ratio allowed.
    await sh('mkdir -p bomb/usr && truncate -s 200M bomb/usr/zeros && tar -C bomb -cf bomb.tar . && rm -r bomb; cp l1.tar pad.tar; truncate -s 200M pad.tar', work);
    for (const name of ['bomb', 'pad']) {
      const file = await ociArchive(path.join(work, `${name}-oci.tar`), 'zstd -q', '+zstd', undefined, [path.join(work, `${name}.tar`)]);
      const q = await rootfs('import', file, '--data', data);
      assert.equal(q.code, 1);
      assert.match(q.err, /more than 200 times its size.*--max-ratio/, name);
      assert.deepEqual(fs.readdirSync(path.join(data, 'rootfs')), ['.lock']);
      if (name === 'bomb') assert.equal((await rootfs('import', file, '--data', data, '--max-ratio', '1000000', '--max-size', '300M')).code, 0);
      await rootfs('remove', `${name}-oci`, '--data', data);
    }
  });
});

/** Processes below `pid` that are under a system call filter. */
const status = (pid) => { try { return fs.readFileSync(`/proc/${pid}/status`, 'utf8'); } catch { return ''; } };
const jailed = (pid) => descendants(pid).filter((p) => /^Seccomp:\t2$/m.test(status(p)));

describe('the process that unpacks', () => {
  test('has nothing left to give away while it reads', async () => {
    const data = path.join(work, 'data-jail');
    const fifo = path.join(work, 'fifo-jail');
    await sh(`mkfifo '${fifo}'`);
    const hold = fs.openSync(fifo, fs.constants.O_RDWR);
    const imp = start(BIN, ['rootfs', 'import', fifo, '--data', data, '--name', 'x'], { env: { ...process.env, A_KEY: 'sk-of-somebody' } });
    const bytes = fs.readFileSync(layers[0]);
    fs.writeSync(hold, bytes.subarray(0, 4096));
    const [child] = await until('a jailed process', () => { const all = jailed(imp.pid); return all.length && all; });
    const text = status(child);
    for (const key of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb', ...(process.geteuid() === 0 ? ['CapBnd'] : [])]) assert.match(text, new RegExp(`^${key}:\t0{16}$`, 'm'));
    assert.match(text, /^NoNewPrivs:\t1$/m);
    assert.match(status(imp.pid), /^Seccomp:\t0$/m, 'the one that places the image is not the one that reads it');
    if (process.geteuid() === 0) {
      assert.equal(fs.readlinkSync(`/proc/${child}/root`), path.join(data, 'rootfs', '.import-x'));
      assert(!fs.readFileSync(`/proc/${child}/environ`, 'utf8').includes('sk-of-somebody'), 'keys in the environment are wiped');
      assert.match(fs.readFileSync(`/proc/${child}/limits`, 'utf8'), /Max core file size +0 +0 /);
      const open = fs.readdirSync(`/proc/${child}/fd`).map((fd) => fs.readlinkSync(`/proc/${child}/fd/${fd}`)).sort();
      const expected = [/^\/.*\/\.import-x\/#\d+ \(deleted\)$|spool/, /^\/.*\/\.import-x\/rootfs$/, /fifo-jail$/, /^pipe:/];
      for (const f of open.filter((f) => f !== '/dev/null')) assert(expected.some((re) => re.test(f)) || process.env.ASAN_OPTIONS, `${f} is not open: ${open}`);
    }
    // It works nevertheless.
    const rest = fs.createWriteStream(null, { fd: hold });
    rest.end(bytes.subarray(4096));
    const how = await imp.exit;
    assert.equal(how.code, 0, imp.tail());
    assert((await listing(tree(data, 'x'))).includes('bin/busybox'));
  });

  test('ends badly: a sentence, and nothing half-made', async () => {
    const data = path.join(work, 'data-ends');
    const fifo = path.join(work, 'fifo-ends');
    await sh(`mkfifo '${fifo}'`);
    const hold = fs.openSync(fifo, fs.constants.O_RDWR);
    for (const [signal, re] of [['SIGKILL', /fifo-ends: the process that unpacks it was killed, perhaps because memory ran out/], ['SIGSYS', /it made a forbidden system call/], ['SIGABRT', /failed \(signal 6\)/]]) {
      if (signal === 'SIGABRT' && process.env.ASAN_OPTIONS) continue;
      const imp = start(BIN, ['rootfs', 'import', fifo, '--data', data, '--name', 'x']);
      const [child] = await until('a jailed process', () => { const all = jailed(imp.pid); return all.length && all; });
      process.kill(child, signal);
      assert.equal((await imp.exit).code, 1);
      assert.match(imp.tail(), re);
      assert.deepEqual(fs.readdirSync(path.join(data, 'rootfs')), ['.lock']);
    }
    fs.closeSync(hold);
  });

  test('is there for an ordinary user, too, with layers of every compression', { skip: process.geteuid() !== 0 && 'this is the ordinary user already' }, async () => {
    const dir = fs.mkdtempSync('/tmp/sp-user-');
    try {
      fs.chownSync(dir, 65534, 65534);
      for (const [name, tool, suffix] of [['gz', 'gzip -n', '+gzip'], ['zst', 'zstd -q', '+zstd'], ['xz', 'xz -0 -T2', '+xz']]) {
        const file = await ociArchive(path.join(work, `user-${name}.tar`), tool, suffix);
        await sh(`cd / && setpriv --reuid 65534 --regid 65534 --clear-groups '${forEverybody(BIN)}' rootfs import - --name ${name} --data ${dir} <'${file}'`);
        assert.equal(await listing(tree(dir, name)), await listing(path.join(work, 'merged')), name);
      }
    } finally { fs.rmSync(dir, { recursive: true, force: true }); }
  });
});

describe('more than one process', () => {
  test('of several imports of one name one wins, the others say so', async () => {
    const data = path.join(work, 'data-race');
    const file = await dockerArchive(path.join(work, 'race.tar'));
    const all = await Promise.all(Array.from({ length: 6 }, () => rootfs('import', file, '--data', data, '--name', 'x')));
    assert.equal(all.filter((r) => r.code === 0).length, 1, all.map((r) => r.err).join(''));
    for (const r of all.filter((q) => q.code !== 0)) assert.match(r.err, /another import of x is running|there is an image x already/);
    assert.deepEqual(fs.readdirSync(path.join(data, 'rootfs')).sort(), ['.lock', 'x']);
    assert.equal(await listing(tree(data, 'x')), await listing(path.join(work, 'merged')));
  });

  for (const [signal, left] of [['SIGKILL', ['.import-x', '.lock']], ['SIGINT', ['.lock']], ['SIGTERM', ['.lock']]]) {
    test(`${signal} in the middle leaves no image, and the next import no trace of it`, async () => {
      const data = path.join(work, `data-${signal}`);
      // A pipe that nobody writes to any more: the import is under way until it is ended.
      const fifo = path.join(work, `fifo-${signal}`);
      await sh(`mkfifo '${fifo}'`);
      const hold = fs.openSync(fifo, fs.constants.O_RDWR);
      const imp = start(BIN, ['rootfs', 'import', fifo, '--data', data, '--name', 'x']);
      fs.writeSync(hold, fs.readFileSync(layers[0]).subarray(0, 4096));
      const place = path.join(data, 'rootfs', '.import-x', 'rootfs');
      await until('the process that unpacks', () => jailed(imp.pid).length === 1);
      assert(fs.existsSync(place), imp.tail());
      imp.kill(signal);
      const how = await imp.exit;
      fs.closeSync(hold);
      assert.equal(how.signal, signal, JSON.stringify(how));
      assert.deepEqual(fs.readdirSync(path.join(data, 'rootfs')).sort(), left);
      assert.equal((await rootfs('list', '--data', data)).out, '');
      assert.equal((await rootfs('import', layers[0], '--data', data, '--name', 'y')).code, 0);
      assert.deepEqual(fs.readdirSync(path.join(data, 'rootfs')).sort(), ['.lock', 'y']);
    });
  }

  test('an image is replaced in one step: a reader finds the old or the new', async () => {
    const data = path.join(work, 'data-replace');
    await sh('for i in a b; do mkdir -p r$i/usr; echo $i >r$i/usr/f; tar -C r$i -cf r$i.tar .; done', work);
    await rootfs('import', path.join(work, 'ra.tar'), '--data', data, '--name', 'x');
    let over = false;
    const seen = { a: 0, b: 0 };
    const reader = (async () => {
      while (!over) {
        seen[fs.readFileSync(path.join(tree(data, 'x'), 'usr/f'), 'utf8').trim()]++;   // throws when it is not there
        await new Promise((r) => setImmediate(r));
      }
    })();
    for (const i of ['b', 'a', 'b', 'a', 'b']) assert.equal((await rootfs('import', path.join(work, `r${i}.tar`), '--data', data, '--name', 'x', '--replace')).code, 0);
    over = true;
    await reader;
    assert(seen.a > 0 && seen.b > 0, JSON.stringify(seen));
    assert.deepEqual(fs.readdirSync(path.join(data, 'rootfs')).sort(), ['.lock', 'x']);
  });
});

describe('an archive that comes through a pipe', () => {
  const tar = path.join(work, 'piped.tar');
  before(() => sh(`mkdir -p piped && echo hello >piped/file && tar -C piped -cf '${tar}' .`, work));

  test('a named pipe that nobody writes to is waited for, and that is said', async () => {
    const pipe = path.join(work, 'named'), data = tempDir('data');
    await sh(`mkfifo '${pipe}'`);
    const p = start(BIN, ['rootfs', 'import', '--data', data, '--name', 'piped', '--format', 'rootfs', pipe]);
    await p.line(/waiting for somebody to write to .*named/);
    await sh(`cat '${tar}' >'${pipe}'`);
    await p.exit;
    assert.equal(p.code, 0, p.tail());
    assert.equal(fs.readFileSync(path.join(tree(data, 'piped'), 'file'), 'utf8'), 'hello\n');
  });

  test('one that the shell made works as before', async () => {
    const data = tempDir('data');
    const r = await run('bash', ['-c', '"$0" rootfs import --data "$1" --name piped --format rootfs <(cat "$2")', BIN, data, tar], { timeout: ms(60000) });
    assert.equal(r.code, 0, r.err);
    assert.equal(fs.readFileSync(path.join(tree(data, 'piped'), 'file'), 'utf8'), 'hello\n');
  });
});
