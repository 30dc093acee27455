import * as z from 'zod';
import { SHARED_TENANT } from '../store/schema.ts';

/** Name of a tenant, as Kubernetes names its namespaces. */
export const tenantSchema = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "1..63 characters of a-z, 0-9 and '-'")
  .refine((name) => name !== SHARED_TENANT, `${SHARED_TENANT} stands for what all tenants see`);
