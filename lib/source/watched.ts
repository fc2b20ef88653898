/** A source whose user functions are in hand while they run (`operator/hand.ts`). */
import type { Grip } from '../operator/hand.ts';
import type { Decoder, EncodedMessage, UnreadablePart } from '../record/format.ts';
import type { MessageMeta, SourceSpec } from './spec.ts';

export function watchedSource(spec: SourceSpec, grip: Grip): SourceSpec {
  const { attach, validate, time, change, decoder } = spec;
  return {
    ...spec,
    decoder: watchedDecoder(decoder, grip),
    attach: attach === null ? null : grip.seen((value: unknown, message: MessageMeta) => attach(value, message)),
    validate: validate === null ? null : grip.seen((value: unknown) => validate(value)),
    time: time === null ? null : grip.seen((value: unknown, message: MessageMeta) => time(value, message)),
    change: change === null ? null : grip.seen((value: unknown, message: MessageMeta) => change(value, message)),
  };
}

/** A format may be the author's own. */
function watchedDecoder(decoder: Decoder, grip: Grip): Decoder {
  const decode = grip.seen(
    (message: EncodedMessage, out: unknown[], unreadable: (part: UnreadablePart) => void): void =>
      decoder.decode(message, out, unreadable),
  );
  const { name, parts } = decoder;
  return { name, decode, ...(parts === undefined ? {} : { parts: message => parts.call(decoder, message) }) };
}
