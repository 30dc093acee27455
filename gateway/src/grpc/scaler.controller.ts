import type { Metadata, ServerWritableStream } from '@grpc/grpc-js';
import type { GetMetricsRequest, IsActiveResponse, ScaledObjectRef } from '@jsigr/proto';
import { handle, pump } from '@jsigr/service';
import { Controller, Inject } from '@nestjs/common';
import { GrpcMethod, GrpcStreamCall } from '@nestjs/microservices';
import { APPLICATION, type Application } from '../application/application.ts';

/** KEDA's side. */
@Controller()
export class ScalerController {
  readonly #application: Application;

  constructor(@Inject(APPLICATION) application: Application) {
    this.#application = application;
  }

  @GrpcMethod('ExternalScaler', 'isActive')
  isActive(request: ScaledObjectRef, _: Metadata) {
    return handle(() => this.#application.scaler.isActive(request));
  }

  @GrpcStreamCall('ExternalScaler', 'streamIsActive')
  streamIsActive(call: ServerWritableStream<ScaledObjectRef, IsActiveResponse>) {
    return pump(call, (signal) => this.#application.scaler.streamIsActive(call.request, signal));
  }

  @GrpcMethod('ExternalScaler', 'getMetricSpec')
  metricSpec(request: ScaledObjectRef) {
    return handle(() => this.#application.scaler.metricSpec(request));
  }

  @GrpcMethod('ExternalScaler', 'getMetrics')
  metrics(request: GetMetricsRequest) {
    return handle(() => this.#application.scaler.metrics(request));
  }
}
