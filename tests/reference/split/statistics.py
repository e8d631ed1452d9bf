"""p-values of scipy for the tests that balance splits. Needs scipy 1.11 (seen with 1.11.4)."""
import scipy, scipy.stats as s
print("scipy", scipy.__version__)
print("t-test", repr(s.ttest_ind([70, 72, 68], [71, 69, 75, 80, 66]).pvalue))
print("chi-square small", repr(s.chi2_contingency([[6, 4], [15, 15]], correction=False).pvalue))
print("chi-square large", repr(s.chi2_contingency([[600, 400], [1500, 1500]], correction=False).pvalue))
