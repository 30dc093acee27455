import type { ServerWritableStream } from '@grpc/grpc-js';
import type {
  ComputeTransferMatrixRequest,
  ComputeTransferMatrixResponse,
  EvaluateRequest,
  EvaluateResponse,
  FollowRunRequest,
  FollowRunResponse,
} from '@jsigr/proto';
import { pump, type WorkerContext } from '@jsigr/service';
import { Controller, type DynamicModule, Inject, Module, type OnModuleDestroy } from '@nestjs/common';
import { GrpcStreamCall } from '@nestjs/microservices';
import { Attacker } from './attacker.ts';

@Controller()
export class AttackerController implements OnModuleDestroy {
  constructor(@Inject(Attacker) private readonly attacker: Attacker) {}

  @GrpcStreamCall('AttackerService', 'evaluate')
  evaluate(call: ServerWritableStream<EvaluateRequest, EvaluateResponse>): Promise<void> {
    return pump(call, (signal) => this.attacker.evaluate(call.request, signal));
  }

  @GrpcStreamCall('AttackerService', 'computeTransferMatrix')
  transferMatrix(
    call: ServerWritableStream<ComputeTransferMatrixRequest, ComputeTransferMatrixResponse>,
  ): Promise<void> {
    return pump(call, (signal) => this.attacker.transferMatrix(call.request, signal));
  }

  @GrpcStreamCall('AttackerService', 'followRun')
  followRun(call: ServerWritableStream<FollowRunRequest, FollowRunResponse>): Promise<void> {
    return pump(call, (signal) => this.attacker.follow(call.request, signal));
  }

  onModuleDestroy(): Promise<void> {
    return this.attacker.close();
  }
}

@Module({})
class AttackerModule {}

/** The attacker as a NestJS module. */
export function attackerModule(context: WorkerContext): DynamicModule {
  return {
    module: AttackerModule,
    controllers: [AttackerController],
    providers: [{ provide: Attacker, useFactory: () => new Attacker(context) }],
  };
}
