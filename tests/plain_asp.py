"""ASP a second time, in plain Python loops over single steps: pairs are concatenated, nothing is cached or batched."""

import math

import torch
from torch import nn

COPY, OPEN, CLOSE = 0, 1, 2


def ffn(scorer, *states):
    """The head in its published form, over the concatenated states."""
    return nn.Sequential(scorer.inner, scorer.activation, scorer.outer)(torch.cat(states)).tolist()


def written(actions, source, config):
    """The decoder's inputs that these actions make: the start, then every output, each where the last copy stands.

    Before the first copy, that is where the text begins.
    """
    ids, positions, pointer = [config.start], [max(source.offset - 1, 0)], 0
    for action in actions:
        if action == COPY:
            ids.append(int(source.input_ids[source.offset + pointer]))
            pointer += 1
        else:
            ids.append(config.opening if action == OPEN else config.closing)
        positions.append(source.offset + max(pointer - 1, 0))
    return ids, positions


def states_of(model, source, ids, positions):
    """Decoder states [L, width] with everything computed from the beginning."""
    inputs = torch.tensor(source.input_ids)[None]
    mask = torch.ones_like(inputs)
    memory = model.decoder.memory(model.encode(inputs, mask, padded=False), mask)
    return model.decoder(model.embed(torch.tensor([ids])), torch.tensor([positions]), memory)[0]


def log_sum_exp(values):
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


@torch.no_grad()
def losses(model, source, gold_actions, gold_types, gold_links, competing):
    """The two parts of the loss of one window, undivided; ``gold_links`` maps (earlier, later) to the set of right classes."""
    ids, positions = written(gold_actions[:-1], source, model.config)
    states = states_of(model, source, ids, positions)
    actions = links = 0.0
    pointer, last_open, is_open, opened_at, closings = 0, None, False, None, []
    for step, action in enumerate(gold_actions):
        if competing == "valid":
            opens = not is_open and bool(source.can_open[pointer])
            closes = is_open and bool(source.can_close[pointer]) and pointer > opened_at
        else:
            opens, closes = True, last_open is not None
        logits = {(COPY, None): 0.0}
        if opens:
            logits[OPEN, None] = ffn(model.open_head, states[step])[0]
        if closes:
            scores = ffn(model.type_head, states[last_open], states[step])
            logits.update({(CLOSE, kind): score for kind, score in enumerate(scores)})
        right = (action, gold_types[len(closings)] if action == CLOSE else None)
        actions += log_sum_exp(list(logits.values())) - logits[right]
        if action == COPY:
            pointer += 1
        elif action == OPEN:
            last_open, is_open, opened_at = step, True, pointer
        else:
            for earlier, other in enumerate(closings):
                scores = ffn(model.link_head, states[other], states[step])
                chosen = gold_links.get((earlier, len(closings)), {0})
                links += log_sum_exp(scores) - log_sum_exp([scores[c] for c in chosen])
            closings.append(step)
            is_open = False
    return actions, links


@torch.no_grad()
def decode(model, source, max_steps=None):
    """Greedy decoding of one window: actions, types, links."""
    actions, types, links, closings = [], [], [], []
    pointer, opened_at, opened_step = 0, None, None
    while max_steps is None or len(actions) < max_steps:
        states = states_of(model, source, *written(actions, source, model.config))
        state = states[-1]
        best, action = 0.0, COPY
        if opened_at is None and source.can_open[pointer]:
            score = ffn(model.open_head, state)[0]
            if score > best:
                best, action = score, OPEN
        if opened_at is not None and source.can_close[pointer] and pointer > opened_at:
            scores = ffn(model.type_head, states[opened_step], state)
            if log_sum_exp(scores) > best:
                action = CLOSE
        if action == OPEN:
            opened_at, opened_step = pointer, len(actions)
        elif action == CLOSE:
            types.append(max(range(len(scores)), key=lambda kind: scores[kind]))
            for earlier, other in enumerate(closings):
                classes = ffn(model.link_head, states[other], state)
                best_class = max(range(len(classes)), key=lambda c: classes[c])
                if best_class:
                    links.append((earlier, len(closings), best_class))
            closings.append(len(actions))
            opened_at = None
        actions.append(action)
        if action == COPY:
            pointer += 1
            if pointer > len(source.word):
                break
    return actions, types, links
