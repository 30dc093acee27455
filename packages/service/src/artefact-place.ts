import type { ArtefactStore } from './artefacts.ts';
import { directoryArtefactStore } from './directory-artefacts.ts';
import { invalidArgument } from './errors.ts';

/** Where artefacts lie, and how an S3 server is reached; credentials come from the standard chain of AWS alone. */
export interface ArtefactPlace {
  /** A folder, or `s3://bucket/prefix`. */
  readonly artefacts: string;
  readonly s3?: S3Settings | undefined;
}

export interface S3Settings {
  /** AWS_REGION, or the one of the AWS profile, unless told. */
  readonly region?: string;
  /** URL of the server, for others than AWS. */
  readonly endpoint?: string;
  /** The bucket's name in the path instead of the server's name; so it is with an endpoint unless told. */
  readonly pathStyle?: boolean;
}

/** A bucket, and what the names of all objects there begin with: empty, or ending with a slash. */
export interface S3Address {
  readonly bucket: string;
  readonly prefix: string;
}

const S3 = 's3://';
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const MOST_PREFIX = 200;

export function isS3(artefacts: string): boolean {
  return artefacts.startsWith(S3);
}

/** @throws JsigrError INVALID_ARGUMENT naming `artefacts`. */
export function s3Address(artefacts: string): S3Address {
  const [bucket = '', ...segments] = artefacts.slice(S3.length).replace(/\/$/, '').split('/');
  const wrong = (what: string) =>
    invalidArgument('artefacts', `${JSON.stringify(artefacts.slice(0, 300))} is not s3://bucket/prefix: ${what}`);
  if (!isS3(artefacts) || !BUCKET.test(bucket))
    throw wrong("the bucket's name has 3 to 63 characters of a-z, 0-9, '.' and '-'");
  const prefix = segments.join('/');
  if (prefix.length > MOST_PREFIX || !segments.every((segment) => /^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(segment)))
    throw wrong(`the prefix has segments of letters, digits, '_', '-' and '.', at most ${MOST_PREFIX} characters`);
  return { bucket, prefix: prefix && `${prefix}/` };
}

/** @throws JsigrError INVALID_ARGUMENT naming `s3.endpoint`. */
export function s3Endpoint(text: string): string {
  const parsed = URL.parse(text);
  const { protocol = '', username, password, search, hash } = parsed ?? {};
  // Not repeated: it may have a password in it.
  if (!/^https?:$/.test(protocol) || username || password || search || hash)
    throw invalidArgument(
      's3.endpoint',
      'must be a URL, http or https, without user, password, query and fragment: credentials come from the environment of AWS',
    );
  return text;
}

/** @throws JsigrError INVALID_ARGUMENT naming `s3.region`. */
export function s3Region(text: string): string {
  if (/^[a-z0-9-]{2,40}$/.test(text)) return text;
  throw invalidArgument('s3.region', `${JSON.stringify(text.slice(0, 60))} is no region such as eu-central-1`);
}

const names = {
  region: 'JSIGR_S3_REGION',
  endpoint: 'JSIGR_S3_ENDPOINT',
  pathStyle: 'JSIGR_S3_PATH_STYLE',
} as const satisfies Record<keyof S3Settings, string>;

/** What the environment of a worker says. */
export function placeFrom(environment: Readonly<Partial<Record<string, unknown>>>): ArtefactPlace {
  const { JSIGR_S3_REGION: region, JSIGR_S3_ENDPOINT: endpoint, JSIGR_S3_PATH_STYLE: style } = environment;
  const s3 = {
    ...(region ? { region: String(region) } : {}),
    ...(endpoint ? { endpoint: String(endpoint) } : {}),
    ...(style ? { pathStyle: style === 'true' } : {}),
  };
  return { artefacts: String(environment.JSIGR_ARTEFACTS), ...(Object.keys(s3).length > 0 ? { s3 } : {}) };
}

/** The same the other way round. */
export function placeEnvironment({ artefacts, s3 = {} }: ArtefactPlace): Record<string, string> {
  const entries = Object.entries(s3) as [keyof S3Settings, string | boolean | undefined][];
  const given = entries.filter(([, value]) => value !== undefined);
  return {
    JSIGR_ARTEFACTS: artefacts,
    ...Object.fromEntries(given.map(([key, value]) => [names[key], String(value)])),
  };
}

/** @throws JsigrError INVALID_ARGUMENT; STORE_CREDENTIALS, STORE_REGION where the chain of AWS has none. */
export async function openArtefactStore({ artefacts, s3 = {} }: ArtefactPlace): Promise<ArtefactStore> {
  if (!isS3(artefacts)) return directoryArtefactStore(artefacts);
  // Loaded only where it is used: it takes a third of a second.
  const address = s3Address(artefacts);
  if (s3.endpoint !== undefined) s3Endpoint(s3.endpoint);
  if (s3.region !== undefined) s3Region(s3.region);
  const { s3ArtefactStore } = await import('./s3/s3-artefacts.ts');
  return s3ArtefactStore(address, s3);
}
