import * as z from 'zod';
import type { ResolvedModelSpec } from '../model-spec.ts';
import { imageShapeSchema, importManifestSchema, readingSchema } from './manifest.ts';

/** Name of the architecture that is no entry of the zoo: the network of an imported ONNX file. */
export const IMPORTED_ARCHITECTURE = 'onnx';

/** What determines a network that was imported and is trained on, but for the values of its parameters. It is written into checkpoints. */
export const importedSpecSchema = z.strictObject({
  architecture: z.literal(IMPORTED_ARCHITECTURE),
  input: imageShapeSchema,
  classes: importManifestSchema.shape.model.shape.classes,
  reading: readingSchema.describe('how the file is used as a classifier'),
  file: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hexadecimal digits')
    .describe('sha256 of the ONNX file, which has the operations; the weights in it are those of the beginning'),
});
export type ImportedSpec = z.output<typeof importedSpecSchema>;

/** Of the zoo, or imported. */
export type NetworkSpec = ResolvedModelSpec | ImportedSpec;

export function isImported(model: NetworkSpec): model is ImportedSpec {
  return model.architecture === IMPORTED_ARCHITECTURE;
}
