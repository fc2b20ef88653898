/**
 * Spans to an OpenTelemetry collector, by OTLP over HTTP. The SDK is loaded when somebody asks for it and not before.
 *
 * Names and attributes follow the conventions for messaging: `process` and `send`, with links to the records, since a
 * batch belongs to many requests. Where all of it belongs to one, the span is that one's child, too. Results carry the
 * context of the record, not of these spans: what is sent must be the same however often it is tried.
 */
import type { Attributes, SpanContext, SpanKind, Tracer } from '@opentelemetry/api';
import { splitLogin } from '../base/url.ts';
import type { TracedBatch, TracedResults, Tracing } from './tracing.ts';

export interface OtlpOptions {
  /** The collector's address, without `/v1/traces`, e.g. `http://127.0.0.1:4318`; a login in it is sent. */
  readonly endpoint: string;
  readonly version: string;
}

export interface OtlpTracing extends Tracing {
  /** Sends what waits. */
  stop(): Promise<void>;
}

export async function openOtlp({ endpoint, version }: OtlpOptions): Promise<OtlpTracing> {
  const [api, sdk, { OTLPTraceExporter }, { resourceFromAttributes }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace-base'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ]);
  const { url, login } = splitLogin(endpoint);
  const basic = login === null ? null : Buffer.from(`${login.user}:${login.password ?? ''}`).toString('base64');
  const exporter = new OTLPTraceExporter({
    url: `${url.replace(/\/+$/, '')}/v1/traces`,
    ...(basic === null ? {} : { headers: { Authorization: `Basic ${basic}` } }),
  });
  const provider = new sdk.BasicTracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'millrace', 'service.version': version }),
    spanProcessors: [new sdk.BatchSpanProcessor(exporter)],
  });
  const tracer: Tracer = provider.getTracer('millrace', version);

  function tell(name: string, kind: SpanKind, traced: TracedBatch, attributes: Attributes): void {
    const contexts = traced.traces.map(contextOf);
    const [only] = contexts;
    const parent =
      only !== undefined && contexts.length === 1 ? api.trace.setSpanContext(api.ROOT_CONTEXT, only) : api.ROOT_CONTEXT;
    const span = tracer.startSpan(
      name,
      {
        kind,
        startTime: traced.startMs,
        links: contexts.map(context => ({ context })),
        attributes: {
          'messaging.system': 'nats',
          'messaging.batch.message_count': traced.records,
          'millrace.pipeline': traced.pipeline,
          'millrace.stage': traced.stage,
          'millrace.partition': traced.partition,
          'millrace.commit': traced.commit,
          ...attributes,
        },
      },
      parent,
    );
    span.end(traced.endMs);
  }

  return {
    processed: batch => {
      const destination = `${batch.pipeline}/${batch.stage}`;
      tell(`process ${destination}`, api.SpanKind.CONSUMER, batch, {
        'messaging.operation.name': 'process',
        'messaging.operation.type': 'process',
        'messaging.destination.name': destination,
        'messaging.destination.partition.id': String(batch.partition),
      });
    },
    sent: (results: TracedResults) => {
      tell(`send ${results.destination}`, api.SpanKind.PRODUCER, results, {
        'messaging.operation.name': 'send',
        'messaging.operation.type': 'send',
        'messaging.destination.template': results.destination,
      });
    },
    stop: () => provider.shutdown(),
  };
}

/** `version-trace-parent-flags`, and after a blank the state, which links do not need. */
function contextOf(trace: string): SpanContext {
  const [, traceId = '', spanId = '', flags = '00'] = trace.split(' ', 1)[0]!.split('-');
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
}
