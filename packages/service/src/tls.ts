import { createHash, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, rootCertificates } from 'node:tls';
import { type ChannelCredentials, experimental, type ServerCredentials } from '@grpc/grpc-js';
import { failedPrecondition, invalidArgument } from './errors.ts';

/** Where certificates lie: PEM files, read again while the process runs. */
export interface TlsFiles {
  /** What this process shows, with its intermediate certificates, and the key to it. A server must have both. */
  readonly certificate?: string;
  readonly key?: string;
  /** Authorities of the servers that this process believes; those of the system unless told. */
  readonly ca?: string;
  /** Authorities of the clients that a server believes; with it clients must show a certificate. */
  readonly clientCa?: string;
  /** Name that servers' certificates bear, where servers are reached by another one. */
  readonly serverName?: string;
}

/** How a client makes sure of the server. */
export interface ClientTls {
  readonly credentials: ChannelCredentials;
  readonly serverName?: string;
}

/** What Node's TLS servers take. */
export interface SecureOptions {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca?: Buffer;
  readonly requestCert: boolean;
  readonly rejectUnauthorized: boolean;
}

interface TlsLogger {
  info(values: object, message: string): void;
  error(values: object, message: string): void;
}

/** What this process shows others, and whom it believes. Certificates are looked at again every `everyMs`; new connections get the new ones. */
export interface Tls {
  /** @throws JsigrError INVALID_ARGUMENT without certificate and key */
  serverCredentials(): ServerCredentials;
  /** The same for an HTTPS server; `change` is called with what came after. */
  secureOptions(change: (options: SecureOptions) => void): SecureOptions;
  readonly client: ClientTls;
  /** Ends the looking. */
  close(): void;
}

const EVERY_MS = 10_000;

interface Material {
  readonly certificate?: Buffer;
  readonly key?: Buffer;
  readonly ca: Buffer;
  readonly clientCa?: Buffer;
}

/** @throws JsigrError TLS_UNUSABLE naming the file */
export async function openTls(files: TlsFiles, logger: TlsLogger, everyMs: number = EVERY_MS): Promise<Tls> {
  let material = await read(files);
  const listeners = new Set<(material: Material) => void>();
  const look = async () => {
    try {
      const found = await read(files);
      if (fingerprint(found) === fingerprint(material)) return;
      material = found;
      logger.info({ files }, 'certificates changed: new connections get the new ones');
      for (const listener of listeners) listener(found);
    } catch (error) {
      // Half written perhaps: what was good stays until there is something better.
      logger.error({ files }, `certificates cannot be read; the ones before stay in use: ${(error as Error).message}`);
    }
  };
  const timer = setInterval(() => void look(), everyMs).unref();
  const provider = (pick: (material: Material) => Buffer | undefined) => new Provider(() => material, listeners, pick);
  const { certificate, clientCa, serverName } = files;
  const client = experimental.createCertificateProviderChannelCredentials(
    provider(({ ca }) => ca),
    certificate ? provider(({ ca }) => ca) : null,
  );
  return {
    serverCredentials() {
      secure(material);
      const clients = clientCa ? provider((each) => each.clientCa) : null;
      // Its parameters bear each other's names: the first is what the server shows.
      return experimental.createCertificateProviderServerCredentials(provider(noCa), clients, clientCa !== undefined);
    },
    secureOptions(change) {
      const current = secure(material);
      listeners.add((changed) => change(secure(changed)));
      return current;
    },
    client: { credentials: client, ...(serverName ? { serverName } : {}) },
    close: () => clearInterval(timer),
  };
}

const noCa = () => undefined;

/** What grpc-js asks for certificates. It listens before it is ready to hear, hence the next tick. */
class Provider implements experimental.CertificateProvider {
  readonly #material: () => Material;
  readonly #listeners: Set<(material: Material) => void>;
  readonly #pick: (material: Material) => Buffer | undefined;
  readonly #mine = new Map<unknown, (material: Material) => void>();

  constructor(
    material: () => Material,
    listeners: Set<(material: Material) => void>,
    pick: (material: Material) => Buffer | undefined,
  ) {
    this.#material = material;
    this.#listeners = listeners;
    this.#pick = pick;
  }

  addCaCertificateListener(listener: experimental.CaCertificateUpdateListener): void {
    this.#add(listener, (material) => {
      const caCertificate = this.#pick(material);
      listener(caCertificate ? { caCertificate } : null);
    });
  }

  addIdentityCertificateListener(listener: experimental.IdentityCertificateUpdateListener): void {
    this.#add(listener, ({ certificate, key }) => {
      listener(certificate && key ? { certificate, privateKey: key } : null);
    });
  }

  removeCaCertificateListener(listener: experimental.CaCertificateUpdateListener): void {
    this.#remove(listener);
  }

  removeIdentityCertificateListener(listener: experimental.IdentityCertificateUpdateListener): void {
    this.#remove(listener);
  }

  #add(key: unknown, tell: (material: Material) => void): void {
    this.#mine.set(key, tell);
    this.#listeners.add(tell);
    process.nextTick(() => this.#mine.get(key) === tell && tell(this.#material()));
  }

  #remove(key: unknown): void {
    const tell = this.#mine.get(key);
    this.#mine.delete(key);
    if (tell) this.#listeners.delete(tell);
  }
}

function secure({ certificate, key, clientCa }: Material): SecureOptions {
  if (!certificate || !key) throw invalidArgument('tls.certificate', 'a server needs a certificate and its key');
  return {
    cert: certificate,
    key,
    ...(clientCa ? { ca: clientCa } : {}),
    requestCert: clientCa !== undefined,
    rejectUnauthorized: clientCa !== undefined,
  };
}

async function read({ certificate, key, ca, clientCa }: TlsFiles): Promise<Material> {
  if ((certificate === undefined) !== (key === undefined))
    throw invalidArgument(certificate ? 'tls.key' : 'tls.certificate', 'is missing: a certificate goes with its key');
  const material = {
    ...(certificate ? { certificate: await pem(certificate) } : {}),
    ...(key ? { key: await pem(key) } : {}),
    ca: ca ? await pem(ca) : Buffer.from(rootCertificates.join('\n')),
    ...(clientCa ? { clientCa: await pem(clientCa) } : {}),
  };
  check(material, certificate ?? '');
  for (const file of [ca, clientCa]) if (file) certificateIn(await pem(file), file);
  return material;
}

/** Certificate and key must be a pair: of two files that are replaced one may be new already. */
function check({ certificate, key }: Material, file: string): void {
  if (!certificate || !key) return;
  certificateIn(certificate, file);
  try {
    createSecureContext({ cert: certificate, key });
  } catch (error) {
    throw unusable(file, error);
  }
}

function certificateIn(bytes: Buffer, file: string): X509Certificate {
  try {
    return new X509Certificate(bytes);
  } catch (error) {
    throw unusable(file, error);
  }
}

async function pem(file: string): Promise<Buffer> {
  return readFile(file).catch((error) => {
    throw unusable(file, error);
  });
}

function unusable(file: string, error: unknown) {
  return failedPrecondition(
    'TLS_UNUSABLE',
    `${file} cannot be used: ${error instanceof Error ? error.message : error}`,
    'it must be a PEM file, and a key must be that of its certificate',
  );
}

function fingerprint({ certificate, key, ca, clientCa }: Material): string {
  const hash = createHash('sha256');
  for (const part of [certificate, key, ca, clientCa]) hash.update(part ?? '').update('\0');
  return hash.digest('hex');
}
