/** A source whose user functions are watched while they run (`operator/call-watch.ts`). */
import type { WatchedCalls } from '../operator/call-watch.ts';
import type { Decoder, EncodedMessage, UnreadablePart } from '../record/format.ts';
import type { MessageMeta, SourceSpec } from './spec.ts';

export function watchedSource(spec: SourceSpec, calls: WatchedCalls): SourceSpec {
  const { attach, validate, time, change, decoder } = spec;
  return {
    ...spec,
    decoder: watchedDecoder(decoder, calls),
    attach: attach === null ? null : calls.watched((value: unknown, message: MessageMeta) => attach(value, message)),
    validate: validate === null ? null : calls.watched((value: unknown) => validate(value)),
    time: time === null ? null : calls.watched((value: unknown, message: MessageMeta) => time(value, message)),
    change: change === null ? null : calls.watched((value: unknown, message: MessageMeta) => change(value, message)),
  };
}

/** A format may be the author's own. */
function watchedDecoder(decoder: Decoder, calls: WatchedCalls): Decoder {
  const decode = calls.watched(
    (message: EncodedMessage, out: unknown[], unreadable: (part: UnreadablePart) => void): void =>
      decoder.decode(message, out, unreadable),
  );
  const { name, parts } = decoder;
  return { name, decode, ...(parts === undefined ? {} : { parts: message => parts.call(decoder, message) }) };
}
