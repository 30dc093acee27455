import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { status } from '@grpc/grpc-js';
import { invalidArgument, JsigrError } from '../errors.ts';
import { Passing } from './transport.ts';

/** A model behind the Open Inference Protocol, as its address names it. */
export interface EndpointAddress {
  readonly protocol: 'http' | 'grpc';
  readonly isSecure: boolean;
  /** A name, or an IP address without brackets. */
  readonly host: string;
  readonly port: number;
  /** Before `/v2/models`; '' for gRPC. */
  readonly prefix: string;
  readonly model: string;
  /** '' for the server's choice. */
  readonly version: string;
}

const FIELD = 'endpoint.url';
const FORM = 'http(s)://HOST[:PORT][/PREFIX]/v2/models/NAME[/versions/VERSION] or grpc(s)://HOST:PORT/NAME[/VERSION]';
const PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 };

/** @throws JsigrError INVALID_ARGUMENT for what is not of the form, or holds a user or password */
export function parseEndpoint(text: string): EndpointAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const { protocol = '', hostname = '', pathname = '' } = url ?? {};
  const isHttp = protocol === 'http:' || protocol === 'https:';
  const path = isHttp
    ? /^(.*)\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?\/?$/.exec(pathname)
    : /^()\/([^/]+)(?:\/([^/]+))?\/?$/.exec(pathname);
  const port = Number(url?.port) || PORTS[protocol];
  if (!url || !path || !hostname || port === undefined || !/^(https?|grpcs?):$/.test(protocol))
    throw invalidArgument(FIELD, `${JSON.stringify(text.slice(0, 200))} is not of the form ${FORM}`);
  if (url.username || url.password || url.search || url.hash)
    throw invalidArgument(FIELD, 'must hold no user, password, query or fragment');
  const [, prefix = '', model = '', version = ''] = path;
  const decoded = (part: string) => {
    try {
      return decodeURIComponent(part);
    } catch {
      throw invalidArgument(FIELD, `${JSON.stringify(part.slice(0, 200))} is no percent-encoded name`);
    }
  };
  return {
    protocol: isHttp ? 'http' : 'grpc',
    isSecure: protocol === 'https:' || protocol === 'grpcs:',
    host: hostname.replace(/^\[|\]$/g, ''),
    port,
    prefix,
    model: decoded(model),
    version: decoded(version),
  };
}

/** Networks that are not the internet's: this host, private networks, link-local ones (where clouds keep credentials), multicast, reserved ones. */
const PRIVATE: readonly string[] = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/3',
  '::/127',
  // Addresses of the old protocol inside those of the new one.
  '64:ff9b::/96',
  '2002::/16',
  'fc00::/7',
  'fe80::/10',
  'ff00::/8',
];

/** Which addresses may be connected to: those of the internet, and the networks that the operator of the gateway allows. */
export class AddressGuard {
  readonly #private = listOf(PRIVATE);
  readonly #allowed: BlockList;

  /** @param allowed in CIDR notation, `127.0.0.0/8`. @throws JsigrError INVALID_ARGUMENT naming the one that is not */
  constructor(allowed: readonly string[]) {
    this.#allowed = listOf(allowed);
  }

  /**
   * The address to connect to. It is checked here and used as it is: a name that means another machine a moment later does not matter.
   * @throws JsigrError ENDPOINT_NOT_ALLOWED; Passing if a name has no address
   */
  async resolve(host: string): Promise<string> {
    const addresses = isIP(host) ? [host] : await addressesOf(host);
    const refused = addresses.find((address) => !this.#allows(address));
    // A name that means private machines too is not to be trusted with any.
    if (refused !== undefined)
      throw new JsigrError({
        code: status.PERMISSION_DENIED,
        reason: 'ENDPOINT_NOT_ALLOWED',
        message: `${host === refused ? host : `${host} (${refused})`} lies in a private network`,
        hint: `whoever runs the gateway may allow networks: JSIGR_ENDPOINT_NETWORKS=${refused.includes(':') ? `${refused}/128` : `${refused}/32`}`,
      });
    return addresses[0] ?? host;
  }

  #allows(address: string): boolean {
    const plain = address.toLowerCase().replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/, '');
    const family = isIP(plain) === 6 ? 'ipv6' : 'ipv4';
    // What is left of mapped addresses is written in hexadecimal.
    if (family === 'ipv6' && plain.startsWith('::ffff:')) return false;
    return this.#allowed.check(plain, family) || !this.#private.check(plain, family);
  }
}

async function addressesOf(host: string): Promise<string[]> {
  const found = await lookup(host, { all: true }).catch((cause: NodeJS.ErrnoException) => {
    throw new Passing(`${host} has no address (${cause.code ?? cause.message})`);
  });
  return found.map(({ address }) => address);
}

function listOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix = ''] = network.split('/');
    const version = isIP(address);
    const bits = /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
    if (version === 0 || !(bits <= (version === 6 ? 128 : 32)))
      throw invalidArgument(
        'endpointNetworks',
        `${JSON.stringify(network)} is not a network such as 127.0.0.0/8 or ::1/128`,
      );
    list.addSubnet(address, bits, version === 6 ? 'ipv6' : 'ipv4');
  }
  return list;
}
