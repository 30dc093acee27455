import type { ServerResponse } from 'node:http';
import { Controller, Get, Inject, Res } from '@nestjs/common';
import type { Metrics } from '../operations/metrics.ts';
import type { Readiness } from '../operations/readiness.ts';
import { Serves } from './admission.ts';

/** What operators look at. */
export interface Operations {
  readonly metrics: Metrics;
  readonly readiness: Readiness;
}

/** Token under which they are injected. */
export const OPERATIONS = Symbol('operations');

@Controller()
export class OperationsHttp {
  readonly #operations: Operations;

  constructor(@Inject(OPERATIONS) operations: Operations) {
    this.#operations = operations;
  }

  @Serves('http/livez')
  @Get('livez')
  live() {
    return { status: 'alive' };
  }

  @Serves('http/readyz')
  @Get('readyz')
  async ready() {
    await this.#operations.readiness.demand();
    return { status: 'ready' };
  }

  @Serves('http/metrics')
  @Get('metrics')
  async metrics(@Res() response: ServerResponse) {
    const { metrics } = this.#operations;
    const text = await metrics.text();
    response.writeHead(200, { 'content-type': metrics.contentType }).end(text);
  }
}
