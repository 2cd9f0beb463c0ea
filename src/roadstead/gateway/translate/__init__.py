"""Translation: from everything that is written (`Resources`) to what every proxy does and what every status says.

    gatewayclass ─ gateways ─ listeners ─ certificates        who listens for what
    grpcroute, httproute ─ routes ─ filters ─ backends        what a rule does, whoever it is attached to
    streamroutes ─ streams                                    connections as a whole: TLSRoute, TCPRoute
    parents ─ precedence ─ proxies                            which rules meet at a listener, in which order
    ingress                                                   Ingress and nginx's annotations, to the same IR

Pure: no clock, no sockets. A `Translator` goes on from where it was and makes anew only what follows from what has
changed; `translate` does all at once, to the same result. It never raises on what a
user wrote: a fault becomes a condition of the object that has it, and whatever is valid beside it is served.
Next: `xds` sends the proxies, `statuses` makes patches of what is to be said.
"""

from roadstead.gateway.translate.translation import Translation, everything, translate
from roadstead.gateway.translate.translator import Translator

__all__ = ["Translation", "Translator", "everything", "translate"]
