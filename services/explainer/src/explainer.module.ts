import type { Metadata, ServerUnaryCall } from '@grpc/grpc-js';
import type { ExplainImageRequest, ExplainImageResponse } from '@jsigr/proto';
import { handle, signalOf, type WorkerContext } from '@jsigr/service';
import { Controller, type DynamicModule, Inject, Module, type OnModuleDestroy } from '@nestjs/common';
import { GrpcMethod } from '@nestjs/microservices';
import { Explainer } from './explainer.ts';

@Controller()
export class ExplainerController implements OnModuleDestroy {
  constructor(@Inject(Explainer) private readonly explainer: Explainer) {}

  @GrpcMethod('ExplainerService', 'explainImage')
  explainImage(
    request: ExplainImageRequest,
    _metadata: Metadata,
    call: ServerUnaryCall<ExplainImageRequest, ExplainImageResponse>,
  ): Promise<ExplainImageResponse> {
    return handle(async () => ({ response: await this.explainer.explain(request, signalOf(call)) }));
  }

  onModuleDestroy(): Promise<void> {
    return this.explainer.close();
  }
}

@Module({})
class ExplainerModule {}

/** The explainer as a NestJS module. */
export function explainerModule(context: WorkerContext): DynamicModule {
  return {
    module: ExplainerModule,
    controllers: [ExplainerController],
    providers: [{ provide: Explainer, useFactory: () => new Explainer(context) }],
  };
}
