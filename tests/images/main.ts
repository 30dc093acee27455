// `npm run test:images [-- FOLDER]`: builds the images of k8s/images/Dockerfile for processors, without a container engine, and runs all of them: the story of
// tests/kubernetes on a real control plane, whose pods are processes in the images' file systems, read-only and as user 10001. Needs root, buildah and mmdebstrap
// (Debian packages of these names), and KUBEBUILDER_ASSETS. The base images are stand-ins made from Debian's packages and npm's Node, since registries of images may
// be out of reach; what is proven is that every step of the Dockerfile works, and that what an image holds is enough. A FOLDER keeps all that for the next time.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const USER = '10001:10001';
const KINDS = ['gateway', 'trainer', 'attacker', 'explainer'] as const;
const root = fileURLToPath(new URL('../..', import.meta.url));
const runner = fileURLToPath(new URL('run-image.sh', import.meta.url));

class ImagesError extends Error {}

main().catch((error) => {
  console.error(error instanceof ImagesError ? `test:images: ${error.message}` : error);
  process.exitCode = 1;
});

async function main(): Promise<void> {
  if (process.getuid?.() !== 0) throw new ImagesError('file systems are mounted, which takes root');
  for (const tool of ['buildah', 'mmdebstrap'])
    if (spawnSync(tool, ['--version']).status !== 0)
      throw new ImagesError(`there is no ${tool}: install Debian's package`);
  const [kept] = process.argv.slice(2);
  const folder = kept ?? mkdtempSync(join(tmpdir(), 'jsigr-images-'));
  mkdirSync(folder, { recursive: true });
  const buildah = tool(folder);
  try {
    if (!buildah('images', '-a').includes('localhost/node')) standIns(folder, buildah);
    const images = Object.fromEntries(KINDS.map((kind) => [kind, built(kind, buildah)]));
    const { status } = spawnSync(join(root, 'node_modules/.bin/vitest'), ['run', 'tests/kubernetes/story.test.ts'], {
      cwd: root,
      env: {
        ...{ ...process.env, JSIGR_TEST_KUBERNETES: 'full' },
        JSIGR_TEST_IMAGES: JSON.stringify({ runner, images }),
      },
      stdio: 'inherit',
    });
    if (status !== 0) throw new ImagesError('the images do not do what they should');
  } finally {
    // Their mounts would keep the folder from being removed; an error before is the one to be seen.
    for (const command of ['umount', 'rm'])
      try {
        buildah(command, '--all');
      } catch (error) {
        console.error(error instanceof ImagesError ? error.message : error);
      }
    if (kept === undefined) rmSync(folder, { recursive: true, force: true });
  }
}

type Buildah = (...args: string[]) => string;

/** buildah with a store of its own, which goes with the folder. */
function tool(folder: string): Buildah {
  const [storage, policy] = [join(folder, 'storage.conf'), join(folder, 'policy.json')];
  const places = { driver: 'overlay', graphroot: join(folder, 'graph'), runroot: join(folder, 'run') };
  const lines = Object.entries(places).map(([key, value]) => `${key} = "${value}"`);
  writeFileSync(storage, `[storage]\n${lines.join('\n')}\n`);
  writeFileSync(policy, '{"default": [{"type": "insecureAcceptAnything"}]}');
  return (command, ...args) => {
    const trust = ['bud', 'from'].includes(command) ? ['--signature-policy', policy] : [];
    const { status, stdout, error } = spawnSync('buildah', [command, ...trust, ...args], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, CONTAINERS_STORAGE_CONF: storage, BUILDAH_ISOLATION: 'chroot' },
      stdio: ['ignore', 'pipe', 'inherit'],
      maxBuffer: 2 ** 28,
    });
    if (status !== 0)
      throw new ImagesError(`buildah ${command} failed${error ? `: ${error.message}` : `:\n${stdout.slice(-4000)}`}`);
    return stdout.trim();
  };
}

/** A Debian and a Node, as the two base images have them. */
function standIns(folder: string, buildah: Buildah): void {
  const [debian, node] = [join(folder, 'debian'), join(folder, 'node')];
  for (const place of [debian, join(node, 'usr/bin'), join(node, 'usr/lib/node_modules')])
    mkdirSync(place, { recursive: true });
  const made = spawnSync('mmdebstrap', ['--variant=minbase', '--quiet', 'bookworm', join(debian, 'root.tar')], {
    stdio: 'inherit',
  });
  if (made.status !== 0) throw new ImagesError('mmdebstrap failed');
  writeFileSync(join(debian, 'Dockerfile'), 'FROM scratch\nADD root.tar /\n');
  buildah('bud', '-t', 'localhost/debian', debian);
  copyFileSync(realpathSync(process.execPath), join(node, 'usr/bin/node'));
  const npm = dirname(dirname(realpathSync(process.env.npm_execpath ?? '')));
  cpSync(npm, join(node, 'usr/lib/node_modules/npm'), { recursive: true });
  for (const name of ['npm', 'npx'])
    symlinkSync(`../lib/node_modules/npm/bin/${name}-cli.js`, join(node, 'usr/bin', name));
  // Where a proxy stands before the registry, npm has to believe it inside too.
  const authorities = process.env.NODE_EXTRA_CA_CERTS;
  if (authorities) copyFileSync(authorities, join(node, 'usr/authorities.crt'));
  const trust = authorities ? 'ENV NODE_EXTRA_CA_CERTS=/usr/local/authorities.crt\n' : '';
  writeFileSync(join(node, 'Dockerfile'), `FROM localhost/debian\nCOPY usr /usr/local\n${trust}`);
  buildah('bud', '-t', 'localhost/node', node);
}

/** Builds a target: the folder in which its file system is, and what a container of it runs there. */
function built(kind: string, buildah: Buildah): { root: string; command: readonly string[] } {
  const bases = ['NODE_IMAGE=localhost/node', 'BASE_IMAGE=localhost/debian'].flatMap((base) => ['--build-arg', base]);
  const options = [
    '--layers',
    '--pull=never',
    '-f',
    'k8s/images/Dockerfile',
    '--target',
    kind,
    '-t',
    `localhost/${kind}`,
  ];
  buildah('bud', ...options, ...bases, '.');
  const container = buildah('from', '--pull=never', `localhost/${kind}`);
  const image = JSON.parse(buildah('inspect', '--type', 'image', `localhost/${kind}`));
  const { Env = [], Entrypoint = [], WorkingDir, User } = image.OCIv1.config;
  if (User !== USER) throw new ImagesError(`the image of the ${kind} runs as ${User}, not as ${USER}`);
  const place = buildah('mount', container);
  const megabytes = (path: string) =>
    spawnSync('du', ['-sm', join(place, path)], { encoding: 'utf8' }).stdout.split('\t')[0];
  console.log(
    `${kind}: ${megabytes('')} MB, of them ${megabytes(WorkingDir)} MB in ${WorkingDir}: ${Entrypoint.join(' ')}`,
  );
  return { root: place, command: ['/usr/bin/env', '-C', WorkingDir, ...Env, ...Entrypoint] };
}
