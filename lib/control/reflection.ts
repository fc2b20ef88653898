/**
 * Reflection (`grpc.reflection`, v1 and v1alpha) answers as fast as it is asked, whether its answers are read or not; here
 * it is made to wait for its reader.
 */
import type { ServerDuplexStream, UntypedHandleCall, UntypedServiceImplementation } from '@grpc/grpc-js';

type Handle = (stream: ServerDuplexStream<object, object>) => void;

export function boundedReflection(handlers: UntypedServiceImplementation): UntypedServiceImplementation {
  const bounded = (handle: Handle): Handle => {
    return stream => {
      const write = stream.write.bind(stream) as (answer: object) => boolean;
      stream.write = (answer: object) => {
        const goOn = write(answer);
        if (!goOn) {
          stream.pause();
          stream.once('drain', () => stream.resume());
        }
        return goOn;
      };
      handle(stream);
    };
  };
  return Object.fromEntries(
    Object.entries(handlers).map(([name, handle]) => [name, bounded(handle as Handle) as UntypedHandleCall]),
  );
}
