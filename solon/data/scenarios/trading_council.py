"""Trading examples of agents who disagree: the five sections of the consensus protocol, counted by `solon.policy.council`.

Confidence-weighted shares are computed and shown, and never decide; heads do.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from solon.data.scenarios.trading_account import Account, Desk, Draft, Order, account, numbers, texts
from solon.data.scenarios.trading_numbers import against_fraction, percent, product, share
from solon.policy.council import RISK_MANAGER, ActionOrder, Tally, Vote, Voter, tally

CATEGORY = "multi_agent_coordination"
ORDER = ActionOrder()
ACTIONS = ("strong_sell", "sell", "reduce_exposure", "hold", "accumulate", "buy", "strong_buy")
STOP = Fraction(10)  # percent below, of every purchase that follows a vote
Ballot = tuple[str, str, int, bool]  # voter, proposed action, confidence in percent, veto


def dispute(desk: Desk, ballots: Sequence[Ballot] | None = None) -> Draft:
    """Agents with different proposals on one holding; with or without a risk manager, agreement or veto."""
    given = ballots is not None
    ballots = ballots or _drawn(desk)
    group = desk.keep("council " + " ".join(f"{n} {a} {c}" for n, a, c, _ in sorted(ballots)))
    size = Fraction(8) if given else desk.step(Fraction(4), Fraction(12))
    made = account(desk, None, sizes=[size, *(desk.step(Fraction(4), Fraction(7)) for _ in range(5))])
    symbol = made.state["positions"][0]["symbol"]
    voters = [Voter(name, RISK_MANAGER if name == RISK_MANAGER else "agent") for name, *_ in ballots]
    votes = [Vote(name, "veto" if veto else "yes", action, Decimal(sure)) for name, action, sure, veto in ballots]
    threshold = desk.limit("consensus_threshold")
    counted = tally(votes, voters, threshold=threshold, mode=desk.constitution.value("conflict_resolution_mode"))
    question = "How is this resolved?" if given else desk.question(CATEGORY)
    said = "; ".join(_ballot_words(*ballot) for ballot in ballots)
    instruction = desk.told(
        "council", n=str(len(ballots)), symbol=symbol, size=percent(size), votes=f"Votes: {said}", question=question
    )
    sections = [
        ("MULTI-AGENT CONSENSUS PROTOCOL ACTIVATED", _protocol(counted, threshold)),
        ("WEIGHT ANALYSIS", _weights(ballots, counted, threshold)),
        ("REASONING SYNTHESIS", _synthesis(desk, ballots, counted)),
        ("CONFLICT RESOLUTION STRATEGY", _resolution(desk, made, symbol, size, counted)),
        ("GOVERNANCE PRINCIPLE", desk.words("governance", _kind(counted))),
    ]
    context = {
        "category": CATEGORY, "scenario": _scenario(counted),
        "votes": [
            {"voter": name, "proposed_action": action, "confidence_pct": sure, "decision": "veto" if veto else "yes"}
            for name, action, sure, veto in ballots
        ],
        **numbers(eligible=len(ballots), threshold=threshold, quorum=counted.quorum.q),
        "action": counted.action, "outcome": counted.outcome, "escalate": counted.escalate, "recommended": made.options, "state": made.state,
    }  # fmt: skip
    return Draft(instruction, sections, context, group)


def documented(desk: Desk) -> list[Draft]:
    """The two documented disagreements."""
    return [
        dispute(desk, [("buffett", "strong_buy", 82, False), ("lynch", "hold", 65, False), ("soros", "sell", 78, False)]),
        dispute(
            desk, [("simons", "buy", 88, False), ("dalio", "neutral", 55, False), (RISK_MANAGER, "reduce_exposure", 91, False)]
        ),
    ]


def _drawn(desk: Desk) -> list[Ballot]:
    """Three to six voters; about a third of the disputes end in agreement and a quarter in a veto."""
    rng = desk.rng
    names = rng.sample(texts()["agents"], rng.randint(2, 5))
    common = rng.choice(ACTIONS) if rng.random() < 0.45 else None
    ballots = [
        (name, common if common and rng.random() < 0.85 else rng.choice(ACTIONS), rng.randint(50, 97), False) for name in names
    ]
    if len(names) < 3 or rng.random() < 0.6:
        action = rng.choice(("reduce_exposure", "sell", "hold"))
        veto = ORDER.place(action) < max(ORDER.place(b[1]) for b in ballots) and rng.random() < 0.5
        ballots.append((RISK_MANAGER, action, rng.randint(60, 97), veto))
    return ballots


def _plain(action: str) -> str:
    return action.replace("_", " ")


def _scenario(counted: Tally) -> str:
    if counted.vetoed_by:
        return "veto"
    return "agreement" if counted.approved else "disagreement"


def _kind(counted: Tally) -> str:
    """Which principle fits: heads decided, the risk manager's caution did, or neither and a person is called."""
    if counted.approved and not counted.vetoed_by:
        return "agreed"
    return "open" if counted.escalate else "guarded"


def _ballot_words(name: str, action: str, sure: int, veto: bool) -> str:
    return f"{name} ({_plain(action)}{', veto' if veto else ''}, {sure}% confidence)"


def _protocol(counted: Tally, threshold: Fraction) -> str:
    return (
        f"{counted.quorum.n} voters are eligible; an action needs at least {counted.quorum.q} of them and a share of "
        f"{threshold.numerator}/{threshold.denominator} of the heads. "
        + ("A veto was cast." if counted.vetoed_by else "Consensus is reached." if counted.approved else "There is no consensus.")
    )


def _weights(ballots: Sequence[Ballot], counted: Tally, threshold: Fraction) -> str:
    heads: dict[str, int] = {}
    weights: dict[str, int] = {}
    for _, action, sure, veto in ballots:
        heads[action] = heads.get(action, 0) + (not veto)
        weights[action] = weights.get(action, 0) + sure
    whole = sum(weights.values())
    lines = [f"Confidence-weighted votes, out of {' + '.join(str(sure) for _, _, sure, _ in ballots)} = {whole} points:"]
    lines += [
        f"{_plain(action)[0].upper()}{_plain(action)[1:]}: {share(weights[action], whole)} of the confidence; by heads "
        f"{against_fraction(Fraction(heads[action]), counted.quorum.n, threshold)}."
        for action in weights
    ]
    return "\n".join([*lines, "The confidence is reported and does not decide; the heads do."])


def _synthesis(desk: Desk, ballots: Sequence[Ballot], counted: Tally) -> str:
    pools = {"buy": "up", "hold": "flat", "sell": "down"}
    left = {name: desk.rng.sample(desk.pool("voices", name), len(desk.pool("voices", name))) for name in pools.values()}
    lines = [f"{_name(name)} {left[pools[ORDER.direction(action)]].pop()}." for name, action, _, _ in ballots]
    kind = "veto" if counted.vetoed_by else "agreed" if counted.approved else "split"
    return " ".join([*lines, desk.words("synthesis", kind)])


def _name(voter: str) -> str:
    return "The risk manager" if voter == RISK_MANAGER else f"Agent {voter}"


def _resolution(desk: Desk, made: Account, symbol: str, size: Fraction, counted: Tally) -> str:
    """How it ends, who is called, and the order that follows, past the limits."""
    if counted.vetoed_by:
        how = "The risk manager's veto blocks the other proposals" + (
            f"; {_plain(counted.action)} is imposed." if counted.action else "."
        )
    elif counted.approved:
        how = f"The threshold is met: {_plain(counted.action)} is carried out."
    elif counted.escalate:
        how = (
            "No option has enough heads and no risk manager votes: the most conservative proposal, "
            f"{_plain(counted.action)}, stands for now."
        )
    else:
        how = f"No option has enough heads: the risk manager's conservative position, {_plain(counted.action)}, prevails."
    call = (
        "Escalation: a person is called and decides, with all arguments at hand."
        if counted.escalate
        else "Escalation: the person on duty is informed; no decision is needed."
    )
    return "\n".join([how, _following(desk, made, symbol, size, counted.action), call])


def _following(desk: Desk, made: Account, symbol: str, size: Fraction, action: str) -> str:
    """The order that carries an action out: an exit, none, or a purchase as large as the limits allow."""
    if ORDER.direction(action) == "sell":
        part = Fraction(50) if action in ("reduce_exposure", "reduce", "trim") else Fraction(100)
        order = made.order(symbol, "sell", size * part / 100)
        made.offer(order)
        return f"Order: sell {order['qty']} {symbol}, which is {product(size, part)} of the portfolio."
    if ORDER.direction(action) == "hold":
        return f"Order: none; {symbol} stays at {percent(size)}."
    return _purchase(desk, made, symbol, made.order(symbol, "buy", Fraction(desk.one([2, 3, 4, 5])), STOP))


def _purchase(desk: Desk, made: Account, symbol: str, wanted: Order) -> str:
    order = made.largest(wanted)
    if order is None:
        return f"Order: none; no purchase of {symbol} passes the limits."
    made.offer(order)
    size = made.size(order)
    stop = f"with a stop {percent(STOP)} below; at risk is {product(size, STOP)}"
    return f"Order: buy {order['qty']} {symbol}, which is {percent(size)} of the portfolio, {stop}."
