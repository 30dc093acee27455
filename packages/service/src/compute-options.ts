/** As in `@jsigr/engine`, which this package does not know; `auto` leaves the choice to it. */
export const ENGINE_CHOICES = ['auto', 'onnx', 'tensorflow', 'reference'] as const;
export const DEVICE_CHOICES = ['auto', 'cpu', 'cuda', 'webgpu'] as const;

/** What a worker computes with; what is absent is the engine's choice. */
export interface ComputeOptions {
  readonly threads?: number;
  readonly engine?: (typeof ENGINE_CHOICES)[number];
  readonly device?: (typeof DEVICE_CHOICES)[number];
}
