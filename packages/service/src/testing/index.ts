export { type Authority, authority } from './certificates.ts';
export { freePort } from './free-port.ts';
export { type S3Server, s3Program, s3Skipped, startS3 } from './s3-server.ts';
export { standaloneContext } from './standalone-context.ts';
export { TcpProxy } from './tcp-proxy.ts';
