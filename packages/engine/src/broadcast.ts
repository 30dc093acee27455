import { EngineError } from './errors.ts';

/** The shape that operands of these shapes broadcast to (NumPy's rule). @throws EngineError if they do not fit. */
export function broadcastShape(...shapes: (readonly number[])[]): number[] {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, i) => {
    const sizes = shapes.map((shape) => shape[i - rank + shape.length] ?? 1).filter((size) => size !== 1);
    const size = sizes[0] ?? 1;
    if (sizes.some((other) => other !== size))
      throw new EngineError('SHAPE_MISMATCH', `${shapes.map((shape) => `[${shape}]`).join(' and ')} do not broadcast`);
    return size;
  });
}

/** Axes of `shape` along which an operand of shape `from` was repeated, and the leading axes that it lacked. */
export function repeatedAxes(from: readonly number[], shape: readonly number[]): number[] {
  const lead = shape.length - from.length;
  return [...shape.keys()].filter((i) => i < lead || (from[i - lead] === 1 && shape[i] !== 1));
}
