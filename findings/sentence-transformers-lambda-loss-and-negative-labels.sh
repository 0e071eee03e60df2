#!/usr/bin/env bash
# sentence-transformers' LambdaLoss sets labels below 0 to 0 before it computes gains, so among them there is no order to
# learn: with a teacher's logits as labels, a list whose logits are all negative has a loss of exactly 0 and no gradient,
# however wrong the model's order is, and in a mixed list the negative part is taught nothing. Cross-encoders trained on MS
# MARCO give logits down to about -11, and give most candidates of a list negative ones. Training runs, the loss is small,
# nothing is learned. The same labels moved up by a constant teach. ListNetLoss and RankNetLoss give the same gradient for
# both.
#
# Good guess: labels are an order with distances, and their sign means nothing. The class's page says that binary and
# continuous labels are supported, and recommends it over the other losses, which take the same inputs.
# Seen with: sentence-transformers 6.2.0, transformers 5.24.0, torch 2.13.0, Python 3.11, Linux. Source:
# cross_encoder/losses/lambda_loss.py, the `clamp_(min=0.0)` of the sorted labels; its weights are differences of 2^label -
# 1.
# Output seen (the sum of the gradient's absolute values):
#   LambdaLoss: labels -3 to -9: 0.000, labels 7 to 1: 53.977
#   ListNetLoss: labels -3 to -9: 63.200, labels 7 to 1: 63.200
#   RankNetLoss: labels -3 to -9: 58.716, labels 7 to 1: 58.716
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 sentence-transformers==6.2.0 transformers==5.24.0
cat > "$work/run.py" <<'PYTHON'
import sys

import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import losses
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

folder = sys.argv[1]
WORDS = "[PAD] [UNK] [CLS] [SEP] what eats bamboo pandas grass stocks fell"
words = {word: number for number, word in enumerate(WORDS.split())}
tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
)
PreTrainedTokenizerFast(
    tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
).save_pretrained(folder)
torch.manual_seed(7)
config = BertConfig(
    vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
    max_position_embeddings=32, num_labels=1, initializer_range=0.5,
)
BertForSequenceClassification(config).save_pretrained(folder)
model = CrossEncoder(folder, device="cpu", max_length=32)
model.eval()  # no dropout
texts = [["what eats bamboo"], [["pandas", "bamboo", "grass", "stocks fell"]]]


def gradient(loss: torch.nn.Module, labels: list[float]) -> float:
    model.zero_grad()
    loss(texts, [torch.tensor(labels)]).backward()
    return sum(float(weight.grad.abs().sum()) for weight in model.parameters() if weight.grad is not None)


worst = model.predict([(texts[0][0], text) for text in texts[1][0]]).argsort().argsort()
low = [-9.0 + 2 * float(3 - place) for place in worst]  # -9 for the text that the model has first, -3 for its last
for name in ("LambdaLoss", "ListNetLoss", "RankNetLoss"):
    loss = getattr(losses, name)(model)
    moved = [label + 10 for label in low]
    below, above = gradient(loss, low), gradient(loss, moved)
    print(
        f"{name}: labels {max(low):.0f} to {min(low):.0f}: {below:.3f}, "
        f"labels {max(moved):.0f} to {min(moved):.0f}: {above:.3f}"
    )
    assert above > 0.1
    assert below == 0 if name == "LambdaLoss" else abs(below - above) < 1e-3 * above
PYTHON
"$work/venv/bin/python" "$work/run.py" "$work/model" 2> "$work/errors" || { cat "$work/errors"; exit 1; }
