/**
 * The standard health service (`grpc.health.v1.Health`), for Kubernetes probes and load balancers. The schema is the
 * public one of the gRPC project, written here as a descriptor: two messages are not worth a file in `proto/`.
 */
import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';

const V1 = {
  HealthCheckRequest: { fields: { service: { type: 'string', id: 1 } } },
  HealthCheckResponse: {
    fields: { status: { type: 'ServingStatus', id: 1 } },
    nested: { ServingStatus: { values: { UNKNOWN: 0, SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 } } },
  },
  Health: { methods: { Check: { requestType: 'HealthCheckRequest', responseType: 'HealthCheckResponse' } } },
};

type Schema = Parameters<typeof fromJSON>[0];

export function healthService(): ServiceDefinition {
  const schema: unknown = { nested: { grpc: { nested: { health: { nested: { v1: { nested: V1 } } } } } } };
  return fromJSON(schema as Schema, { enums: String, defaults: true })['grpc.health.v1.Health'] as ServiceDefinition;
}

/** @param healthy whether the worker is connected and not stopping; a standby is healthy. */
export function healthHandlers(healthy: () => boolean): UntypedServiceImplementation {
  return {
    Check: (_call: unknown, done: (error: null, answer: { status: string }) => void) => {
      done(null, { status: healthy() ? 'SERVING' : 'NOT_SERVING' });
    },
  };
}
