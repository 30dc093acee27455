import type { Server as HttpsServer } from 'node:https';
import { createLogger, isTracing, type Logger, nestLogger, type Tls } from '@jsigr/service';
import { type DynamicModule, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Access } from '../access/access.ts';
import { APPLICATION, type Application } from '../application/application.ts';
import { addressUnavailable } from '../ports.ts';
import { AccessGuard, authentication } from './admission.ts';
import { CatalogueHttp } from './catalogue.http.ts';
import { ErrorsFilter } from './errors.filter.ts';
import { guard } from './guard.ts';
import { OPERATIONS, type Operations, OperationsHttp } from './operations.http.ts';
import { EvaluationFilesHttp, EvaluationsHttp, TrainingRunsHttp } from './runs.http.ts';
import { tracing } from './tracing.ts';

/** An image of 8 MiB in base64, with room. */
const MOST_BODY_BYTES = 12 * 1024 * 1024;

/** Every controller; its routes stand in the access table. */
export const httpControllers = [TrainingRunsHttp, EvaluationsHttp, EvaluationFilesHttp, CatalogueHttp, OperationsHttp];

@Module({})
class HttpModule {}

function httpModule(application: Application, operations: Operations): DynamicModule {
  return {
    module: HttpModule,
    controllers: httpControllers,
    providers: [
      { provide: APPLICATION, useValue: application },
      { provide: OPERATIONS, useValue: operations },
    ],
  };
}

export interface HttpServer {
  /** host:port */
  readonly address: string;
  /** Express' own, for those who want to see which routes it answers. */
  readonly router: unknown;
  /** Cuts connections that are open. */
  close(): Promise<void>;
}

export interface HttpServerOptions {
  readonly application: Application;
  readonly access: Access;
  readonly operations: Operations;
  /** Absent: connections are not encrypted. */
  readonly tls?: Tls | undefined;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly logger?: Logger;
}

/** The HTTP face: the same application, with the same names, in JSON. @throws JsigrError ADDRESS_UNAVAILABLE naming host and port. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { application, access, operations, tls, host, port, logger } = options;
  let server: HttpsServer | undefined;
  const httpsOptions = tls?.secureOptions((changed) => server?.setSecureContext(changed));
  const app = await NestFactory.create<NestExpressApplication>(httpModule(application, operations), {
    logger: nestLogger(logger ?? createLogger('http')),
    abortOnError: false,
    bodyParser: false,
    forceCloseConnections: true,
    ...(httpsOptions ? { httpsOptions } : {}),
  });
  // Numbers that are none, as protobuf's JSON writes them.
  app.set('json replacer', (_: string, value: unknown) =>
    typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
  );
  app.disable('x-powered-by');
  app.disable('etag');
  if (isTracing()) app.use(tracing);
  app.use(guard(access));
  app.use(authentication(access));
  app.useBodyParser('json', { limit: MOST_BODY_BYTES, strict: true });
  app.useGlobalFilters(new ErrorsFilter());
  app.useGlobalGuards(new AccessGuard(access, operations.metrics));
  try {
    await app.listen(port, host);
  } catch (error) {
    await app.close();
    throw addressUnavailable(host, port, error);
  }
  if (tls) server = app.getHttpServer() as unknown as HttpsServer;
  const { port: bound } = app.getHttpServer().address() as { port: number };
  return {
    address: `${host.includes(':') ? `[${host}]` : host}:${bound}`,
    router: app.getHttpAdapter().getInstance().router,
    close: () => app.close(),
  };
}
