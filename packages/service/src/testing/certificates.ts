import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A certificate authority of a test, in a folder. */
export interface Authority {
  /** File of its certificate. */
  readonly certificate: string;
  /** Makes a certificate for these names, signed by it; the files are overwritten where they are there. */
  issue(name: string, names?: readonly string[]): { readonly certificate: string; readonly key: string };
}

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** Made by openssl, which every machine with npm has; certificates for 127.0.0.1 and localhost unless told. */
export function authority(folder: string, name = 'ca'): Authority {
  mkdirSync(folder, { recursive: true });
  const at = (file: string) => join(folder, file);
  const openssl = (...line: string[]) => execFileSync('openssl', line, { stdio: ['ignore', 'pipe', 'pipe'] });
  const [certificate, key] = [at(`${name}.crt`), at(`${name}.key`)];
  openssl('req', '-x509', ...EC, '-keyout', key, '-out', certificate, '-days', '2', '-subj', `/CN=${name}`);
  return {
    certificate,
    issue(leaf, names = ['IP:127.0.0.1', 'DNS:localhost']) {
      const [own, request, extensions] = [at(`${leaf}.key`), at(`${leaf}.csr`), at(`${leaf}.ext`)];
      const signed = at(`${leaf}.crt`);
      writeFileSync(extensions, `subjectAltName=${names.join(',')}\n`);
      openssl('req', ...EC, '-keyout', own, '-out', request, '-subj', `/CN=${leaf}`);
      const by = ['-CA', certificate, '-CAkey', key, '-CAcreateserial', '-days', '2', '-extfile', extensions];
      openssl('x509', '-req', '-in', request, '-out', signed, ...by);
      return { certificate: signed, key: own };
    },
  };
}
