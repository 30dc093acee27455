import { createLogger, type Logger, nestLogger } from '@jsigr/service';
import { type DynamicModule, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { APPLICATION, type Application } from '../application/application.ts';
import { addressUnavailable } from '../ports.ts';
import { CatalogueHttp } from './catalogue.http.ts';
import { ErrorsFilter } from './errors.filter.ts';
import { guard } from './guard.ts';
import { EvaluationsHttp, TrainingRunsHttp } from './runs.http.ts';

/** An image of 8 MiB in base64, with room. */
const MOST_BODY_BYTES = 12 * 1024 * 1024;

@Module({})
class HttpModule {}

function httpModule(application: Application): DynamicModule {
  return {
    module: HttpModule,
    controllers: [TrainingRunsHttp, EvaluationsHttp, CatalogueHttp],
    providers: [{ provide: APPLICATION, useValue: application }],
  };
}

export interface HttpServer {
  /** host:port */
  readonly address: string;
  /** Cuts connections that are open. */
  close(): Promise<void>;
}

export interface HttpServerOptions {
  readonly application: Application;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly logger?: Logger;
}

/** The HTTP face: the same application, with the same names, in JSON. @throws JsigrError ADDRESS_UNAVAILABLE naming host and port. */
export async function startHttpServer({ application, host, port, logger }: HttpServerOptions): Promise<HttpServer> {
  const app = await NestFactory.create<NestExpressApplication>(httpModule(application), {
    logger: nestLogger(logger ?? createLogger('http')),
    abortOnError: false,
    bodyParser: false,
    forceCloseConnections: true,
  });
  // Numbers that are none, as protobuf's JSON writes them.
  app.set('json replacer', (_: string, value: unknown) =>
    typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
  );
  app.disable('x-powered-by');
  app.disable('etag');
  app.use(guard);
  app.useBodyParser('json', { limit: MOST_BODY_BYTES, strict: true });
  app.useGlobalFilters(new ErrorsFilter());
  try {
    await app.listen(port, host);
  } catch (error) {
    await app.close();
    throw addressUnavailable(host, port, error);
  }
  const { port: bound } = app.getHttpServer().address() as { port: number };
  return { address: `${host.includes(':') ? `[${host}]` : host}:${bound}`, close: () => app.close() };
}
